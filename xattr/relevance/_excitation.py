"""The rules of excitation backprop: for each winner, who made it win."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._types import Images, Predictor, Score
from xattr.program import (
    Composite,
    Operation,
    Rule,
    Where,
    arranged,
    perturb,
    ruled,
)
from xattr.relevance._rules import Inputs, halves, keep, numerator
from xattr.relevance._start import gradient_start

Value = Float[Array, "..."]

_LAYERS = ("conv", "dense", "attend")


def excitation(
    operation: Operation, inputs: Inputs, output: Value, chances: Value
) -> Inputs:
    r"""Each input's chance, by its activation and its weight, both above zero.

    $$ p_i = a_i \sum_j w_{ij}^+ \frac{p_j}{\sum_i a_i w_{ij}^+} $$
    """
    del output
    return (_through(operation, inputs, chances, 1),)


def contrast(
    operation: Operation, inputs: Inputs, output: Value, chances: Value
) -> Inputs:
    """The chances, less what they were if all weights had the other sign."""
    del output
    winning, losing = (_through(operation, inputs, chances, s) for s in (1, -1))
    return (winning - losing,)


def shares(
    operation: Operation, inputs: Inputs, output: Value, chances: Value
) -> Inputs:
    """Each part's chance, in proportion to what it adds to a sum."""
    _, pull_back = jax.vjp(operation.run, *inputs)
    slopes = pull_back(jnp.ones_like(output))
    parts = [
        jnp.where(x * slope > 0, x, 0) for x, slope in zip(inputs, slopes, strict=True)
    ]
    passed = pull_back(_quotient(chances, operation.run(*parts)))
    return tuple(x * chance for x, chance in zip(parts, passed, strict=True))


def composite(*, last: Rule = excitation) -> Composite:
    """Excitation backprop, with a rule of its own for the last layer."""
    return Composite(
        (
            (Where(_LAYERS, last=True), last),
            (Where(_LAYERS), excitation),
            (Where(("sum", "pool")), shares),
            (Where(("relu", "rectifier", "activation", "affine", "norm")), keep),
            (Where(("product",)), halves),
            (Where(("quotient",)), numerator),
        ),
        frozen=("softmax",),
    )


def chances(
    model: Predictor,
    images: Images,
    targets: PyTree,
    rules: Composite,
    score: Score,
    site: str | None = None,
    axes: str | None = None,
) -> Value:
    """What rules make of the score's derivative by the outputs, for images or units."""
    found = ruled(model, images, rules)
    if site is None:
        outputs, pull_back = jax.vjp(found.run, images)
        return pull_back(gradient_start(outputs, targets, score))[0]
    chosen = perturb(model, images, [site]).sites[site]
    if chosen.name not in found.shapes:
        raise ValueError(
            f"`site`={site!r} is {chosen.name!r}, within what one rule is for: there "
            f"are no chances between a layer and its bias, or inside of an activation. "
            f"Choose one of {', '.join(found.shapes)}."
        )
    zeros = {chosen.name: jnp.zeros(chosen.shape, chosen.dtype)}
    outputs, pull_back = jax.vjp(lambda taps: found.run(images, taps=taps), zeros)
    (passed,) = pull_back(gradient_start(outputs, targets, score))
    return arranged(passed[chosen.name], chosen, axes).astype(images.dtype)


def _through(operation: Operation, inputs: Inputs, chances: Value, sign: int) -> Value:
    """The chances of a layer's inputs, by its weights or their opposites."""
    layer = operation.layer
    assert layer is not None
    active, weights = jnp.maximum(inputs[0], 0), jnp.maximum(sign * layer.weights, 0)
    total, pull_back = jax.vjp(lambda x: layer.linear(x, weights), active)
    return active * pull_back(_quotient(chances, total))[0]


def _quotient(chances: Value, total: Value) -> Value:
    """Zero where nothing makes a winner win: its chance is lost."""
    return jnp.where(total > 0, chances / jnp.where(total > 0, total, 1), 0)
