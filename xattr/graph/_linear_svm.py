"""Linear support vector machine."""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Hyperplane(NamedTuple):
    """What tells two kinds of points apart: the sign of `weights @ x + bias`."""

    weights: Float[Array, " d"]
    bias: Float[Array, ""]


def linear_svm(
    positive: Float[Array, "p d"],
    negative: Float[Array, "n d"],
    counted: Float[Array, " p"],
    *,
    cost: float = 0.1,
    num_steps: int = 100,
) -> Hyperplane:
    r"""The plane with the widest margin between two kinds of points.

    With the squared hinge, which is smooth, and $c_x$ = `counted`:

    $$ \min_{w, b} \tfrac12 \|w\|^2 + C \sum_{x \in P} c_x \max(0, 1 - w x - b)^2
       + C \sum_{x \in N} \max(0, 1 + w x + b)^2 $$

    Args:
      positive: points on the positive side, $P$.
      negative: points on the other side, $N$.
      counted: how much each positive point counts; 0 leaves it out.
      cost: $C$, of points within the margin.
      num_steps: at most so many of L-BFGS, from $w = 0$, $b = -1$; it ends earlier
        where the gradient is 10,000 times smaller than there.

    Returns:
      Weights and bias, which is not regularized.

    Example:
      >>> plane = linear_svm(
      ...     jnp.array([[3.0]]), jnp.array([[1.0]]), jnp.ones(1), cost=0.25)
      >>> plane.weights.round(3), plane.bias.round(3)
      (Array([0.5], dtype=float32), Array(-1., dtype=float32))

    References:
      [fan2008liblinear]; [liu1989limited].
    """
    import optax

    def loss(plane: Hyperplane) -> Float[Array, ""]:
        def outputs(points: Float[Array, "r d"]) -> Float[Array, " r"]:
            return jnp.matmul(points, plane.weights, precision="highest") + plane.bias

        inside = counted * jax.nn.relu(1 - outputs(positive)) ** 2
        beyond = jax.nn.relu(1 + outputs(negative)) ** 2
        return (plane.weights**2).sum() / 2 + cost * (inside.sum() + beyond.sum())

    start = Hyperplane(
        jnp.zeros(positive.shape[1], positive.dtype), -jnp.ones((), positive.dtype)
    )
    least = 1e-4 * optax.tree.norm(jax.grad(loss)(start))
    rule = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(carry):
        plane, state, _, t = carry
        value, grad = value_and_grad(plane, state=state)
        change, state = rule.update(
            grad, state, plane, value=value, grad=grad, value_fn=loss
        )
        plane = optax.apply_updates(plane, change)
        slope = optax.tree.norm(optax.tree.get(state, "grad"))
        return plane, state, slope, t + 1

    def unfinished(carry):
        _, _, slope, t = carry
        return (slope > least) & (t < num_steps)

    first = start, rule.init(start), jnp.full_like(least, jnp.inf), 0
    return cast(Hyperplane, jax.lax.while_loop(unfinished, step, first)[0])
