"""Maps that are found by descent: where Adam arrives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr._checks import check_count, check_positive
from xattr.program import hoist

# What is optimized, and the number of the step -> what is minimized.
Loss = Callable[[Array, Array], Array]


def adam(
    loss: Loss,
    start: Float[Array, "..."],
    *,
    num_steps: int,
    learning_rate: float,
    project: Callable[[Array], Array] = lambda x: x,
) -> Float[Array, "..."]:
    """Where Adam, with the usual settings, arrives; `project` follows every step."""
    import optax

    check_count("num_steps", num_steps, least=0)
    check_positive("learning_rate", learning_rate, 0.1)
    rule = optax.adam(learning_rate)
    gradient = hoist(jax.grad(loss), start, jnp.zeros((), int))

    def step(state, t):
        found, moments = state
        change, moments = rule.update(gradient(found, t), moments)
        return (project(found + change), moments), None

    state = start, rule.init(start)
    (found, _), _ = jax.lax.scan(step, state, jnp.arange(num_steps))
    return found
