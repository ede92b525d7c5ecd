"""What every gradient CAM starts from: a site's activations and their gradients."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._chunking import evaluate_all
from xattr._scores import score_and_targets
from xattr._types import Images, Predictor, Score
from xattr.cams._layout import Grid, site_layout
from xattr.program import perturb

Map = Float[Array, "n i j"]
Formula = Callable[["SiteGradient"], Map]


class SiteGradient(NamedTuple):
    """Activations of a site, and the gradient of the score with respect to them."""

    activations: Grid
    gradients: Grid


def map_of(
    formula: Formula,
    model: Predictor,
    images: Images,
    targets: PyTree,
    site: str,
    relu: bool,
    axes: str | None,
    score: Score,
    chunk_size: int | None,
) -> Map:
    """The map of one formula, in chunks of images."""

    def evaluate(rows, _):
        images, targets = rows
        found = site_gradient(model, images, targets, site, score, axes)
        return finish(formula(found), relu, images)

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]


def site_gradient(
    model: Predictor,
    images: Images,
    targets: PyTree,
    site: str,
    score: Score,
    axes: str | None,
) -> SiteGradient:
    """Both from one pass that goes back only as far as the site."""
    perturbed = perturb(model, images, [site])
    layout = site_layout(model, images, perturbed.sites[site], site, axes)

    def total(perturbations: dict[str, Array]) -> tuple[Array, Array]:
        outputs, activations = perturbed.call(perturbations)
        return score_and_targets(score, outputs, targets)[0].sum(), activations[site]

    gradients, activations = jax.grad(total, has_aux=True)(perturbed.zeros)
    return SiteGradient(layout.to_grid(activations), layout.to_grid(gradients[site]))


def site_and_outputs(
    model: Predictor, images: Images, site: str, axes: str | None
) -> tuple[Grid, PyTree]:
    """Activations of a site, and the model's outputs."""
    perturbed = perturb(model, images, [site])
    layout = site_layout(model, images, perturbed.sites[site], site, axes)
    outputs, activations = perturbed.call(perturbed.zeros)
    return layout.to_grid(activations[site]), outputs


def weighted(activations: Grid, weights: Float[Array, "n d"]) -> Map:
    """Sum over channels of activation times the channel's weight."""
    return jnp.einsum("nijd,nd->nij", activations, weights)


def finish(maps: Map, relu: bool, images: Images) -> Map:
    """The ReLU at the end of most published formulas, in the type of the images."""
    return (jax.nn.relu(maps) if relu else maps).astype(images.dtype)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient, zero where the denominator is."""
    empty = denominator == 0
    return jnp.where(empty, 0, numerator / jnp.where(empty, 1, denominator))
