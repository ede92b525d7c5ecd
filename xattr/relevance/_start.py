"""Where relevance, or a gradient, starts: at the outputs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from xattr._scores import score_and_targets
from xattr._types import Images, Predictor, Score
from xattr.program import Composite, ruled


def gradient_start(outputs: PyTree, targets: PyTree, score: Score) -> PyTree:
    """The derivative of each image's score by the outputs."""

    def total(outputs: PyTree):
        return score_and_targets(score, outputs, targets)[0].sum()

    return jax.grad(total, allow_int=True)(outputs)


def relevance_start(outputs: PyTree, targets: PyTree, score: Score) -> PyTree:
    r"""Each output's part in the score, $z \odot \partial f / \partial z$."""
    slopes = gradient_start(outputs, targets, score)

    def part(output: Array, slope: Array) -> Array:
        return output * slope if jnp.issubdtype(output.dtype, jnp.inexact) else slope

    return jax.tree.map(part, outputs, slopes)


def attribute(
    model: Predictor,
    images: Images,
    targets: PyTree,
    composite: Composite,
    score: Score,
    sinks: dict[str, Array] | None = None,
) -> tuple[Images, dict[str, Array]]:
    """What a composite passes on to the images, and what each of some sites absorbs."""
    function = ruled(model, images, composite).run
    outputs, pull_back = jax.vjp(function, images, sinks or {})
    start = relevance_start if composite.flow == "relevance" else gradient_start
    return pull_back(start(outputs, targets, score))
