"""Shapley-CAM: channels weighted by their gradient half-way to being removed."""

import jax
from jaxtyping import Array, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import rest, score_and_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._layout import site_layout
from xattr.cams._site_gradient import (
    Grid,
    Map,
    SiteGradient,
    finish,
    weighted,
)
from xattr.program import perturb


def shapley_cam_formula(found: SiteGradient, curvature: Grid) -> Map:
    """Grad-CAM with the gradient less half of its change along the activations."""
    weights = (found.gradients - curvature / 2).mean(axis=(1, 2))
    return weighted(found.activations, weights)


@compiled
def shapley_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    relu: bool = True,
    axes: str | None = None,
    score: Score = rest,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""How much each cell speaks for the target, its channels sharing what they add.

    With $A^d$ the site's channels, $g$ and $H$ the first and second derivatives of $f$
    with respect to $A$:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d \alpha_d A^d_{ij}\Big), \qquad
       \alpha_d = \tfrac1{IJ} \sum_{ij} \big(g - \tfrac12 H A\big)^d_{ij} $$

    a second-order estimate of the Shapley value of each channel. $H A$ is one
    directional derivative of the gradient; $H$ is never formed.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation.
      relu: keep only evidence for the target; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained. Where the logits are affine in the site, their
        second derivative is zero, and `score=logit` gives Grad-CAM.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, in units of the score (per cell, up to a factor $IJ$).

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, or its axes can't
        be read.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> model = lambda x: (jax.nn.relu(x) ** 2).sum((1, 2))
      >>> x = jnp.array([[[[4.0], [2.0]]]])
      >>> shapley_cam(model, x, [0], site="relu:0", axes="nhwc", score=xattr.logit)
      Array([[[12.,  6.]]], dtype=float32)

    References:
      [cai2025cams].
    """
    del key

    def evaluate(rows, _):
        images, targets = rows
        found, curvature = _with_curvature(model, images, targets, site, score, axes)
        return finish(shapley_cam_formula(found, curvature), relu, images)

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]


def _with_curvature(
    model: Predictor,
    images: Images,
    targets: PyTree,
    site: str,
    score: Score,
    axes: str | None,
) -> tuple[SiteGradient, Grid]:
    """A site's gradient, and the gradient's derivative along the activations."""
    perturbed = perturb(model, images, [site])
    layout = site_layout(model, images, perturbed.sites[site], site, axes)

    def total(perturbation: Array) -> tuple[Array, Array]:
        outputs, activations = perturbed.call({site: perturbation})
        return score_and_targets(score, outputs, targets)[0].sum(), activations[site]

    gradient, change, activations = jax.linearize(
        jax.grad(total, has_aux=True), perturbed.zeros[site], has_aux=True
    )
    found = SiteGradient(layout.to_grid(activations), layout.to_grid(gradient))
    return found, layout.to_grid(change(activations))
