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


def midpoint(
    operation: Operation, inputs: Inputs, output: Value, multiplier: Value
) -> Inputs:
    """Of a product, the derivative halfway, which is exact."""
    del output
    halfway = [
        (x + before) / 2
        for x, before in zip(inputs, _reference(operation).inputs, strict=True)
    ]
    return jax.vjp(operation.run, *halfway)[1](multiplier)


def ratio(
    operation: Operation, inputs: Inputs, output: Value, multiplier: Value
) -> Inputs:
    """Of a quotient, as of a product with one over the divisor."""
    del output
    (x, y), (x0, y0) = inputs, _reference(operation).inputs

    def product(divided: Value, divisor: Value) -> Value:
        return divided * (1 / y + 1 / y0) / 2 - divisor * (x + x0) / (2 * y * y0)

    return jax.vjp(product, x, y)[1](multiplier)


RESCALE = Composite(
    (
        (Where(("relu", "rectifier", "activation")), rescale),
        (Where(("maximum",)), route),
        (Where(("minimum",)), partial(route, extreme=jnp.minimum)),
        (Where(("product",)), midpoint),
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
