r"""How differences from a reference are shared among an operation's inputs.

A rule passes multipliers on, $m$ with $\sum_i m_i (x_i - x_i^0) = m (z - z^0)$, so that
the differences of the images, each times its multiplier, sum to that of the score.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._scores import score_and_targets
from xattr._types import Images, Predictor, Score
from xattr.program import Composite, Operation, Reference, Where, replace_rules

Value = Float[Array, "..."]
Inputs = tuple[Value, ...]

# Differences smaller than this have the derivative as their multiplier.
_LEAST = 1e-10


def rescale(
    operation: Operation, inputs: Inputs, output: Value, multiplier: Value
) -> Inputs:
    r"""Of a function of each entry, the slope between both, $\Delta z / \Delta x$."""
    reference = _reference(operation)
    (x,), (before,) = inputs, reference.inputs
    _, pull_back = jax.vjp(operation.run, x)
    (slope,) = pull_back(multiplier)
    rise = multiplier * (output - reference.output)
    return (_divided(rise, x - before, slope),)


def route(
    operation: Operation,
    inputs: Inputs,
    output: Value,
    multiplier: Value,
    *,
    extreme=jnp.maximum,
) -> Inputs:
    """Of a maximum, to where the higher of both maxima was."""
    reference = _reference(operation)
    top = extreme(output, reference.output)
    _, here = jax.vjp(operation.run, *inputs)
    _, there = jax.vjp(operation.run, *reference.inputs)
    parts = zip(
        here(multiplier * (top - reference.output)),
        there(multiplier * (output - top)),
        here(multiplier),
        inputs,
        reference.inputs,
        strict=True,
    )
    return tuple(_divided(a + b, x - x0, slope) for a, b, slope, x, x0 in parts)


def product(
    operation: Operation, inputs: Inputs, output: Value, multiplier: Value
) -> Inputs:
    r"""Of a product, between the two ways to change one factor after the other.

    $$ \Delta(xy) = y \Delta x + x^0 \Delta y = y^0 \Delta x + x \Delta y $$

    Each counts in inverse proportion to the size of its terms, so that large ones that
    cancel, as where a norm divides a constant baseline by next to nothing, stay out.
    Of a product with itself it is the derivative halfway, which is exact.
    """
    del output
    if len(inputs) == 1:
        (x,), (x0,) = inputs, _reference(operation).inputs
        return jax.vjp(operation.run, (x + x0) / 2)[1](multiplier)
    (x, y), (x0, y0), run = inputs, _reference(operation).inputs, operation.run
    size = jnp.abs(run(x - x0, y)) + jnp.abs(run(x0, y - y0))
    other = jnp.abs(run(x - x0, y0)) + jnp.abs(run(x, y - y0))
    both = size + other
    share = jnp.where(both > 0, other / jnp.where(both > 0, both, 1), 0.5)
    by_x, by_y = jax.vjp(run, x0, y)[1](multiplier * share)
    then_x, then_y = jax.vjp(run, x, y0)[1](multiplier * (1 - share))
    return by_x + then_x, by_y + then_y


def ratio(
    operation: Operation, inputs: Inputs, output: Value, multiplier: Value
) -> Inputs:
    r"""Of a quotient $z = x/y$, what the difference of $x = zy$ leaves for $z$."""
    (x, y), (_, y0) = inputs, _reference(operation).inputs

    def line(divided: Value, divisor: Value) -> Value:
        return (2 * divided - divisor * (output + before)) / (y + y0)

    before = _reference(operation).output
    return jax.vjp(line, x, y)[1](multiplier)


RESCALE = Composite(
    (
        (Where(("relu", "rectifier", "activation")), rescale),
        (Where(("maximum",)), route),
        (Where(("minimum",)), partial(route, extreme=jnp.minimum)),
        (Where(("product",)), product),
        (Where(("quotient",)), ratio),
    ),
    flow="difference",
)


def _reference(operation: Operation) -> Reference:
    if operation.reference is None:
        raise ValueError(
            f"the rule of {operation.name!r} compares with a baseline: it is for a "
            f"composite whose `flow` is 'difference'."
        )
    return operation.reference


def _divided(rise: Value, run: Value, otherwise: Value) -> Value:
    small = jnp.abs(run) < _LEAST
    return jnp.where(small, otherwise, rise / jnp.where(small, 1, run))


def contributions(
    model: Predictor, images: Images, targets: PyTree, baselines: Images, score: Score
) -> Images:
    """Each value's share of its image's lead in score over its baseline."""

    def scores(images: Images) -> Array:
        return score_and_targets(score, model(images), targets)[0]

    compared = replace_rules(scores, RESCALE, baselines)
    outputs, pull_back = jax.vjp(compared, images)
    (multipliers,) = pull_back(jnp.ones_like(outputs))
    return (images - baselines) * multipliers
