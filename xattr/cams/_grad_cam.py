"""Grad-CAM: channels weighted by their mean gradient."""

from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import Map, SiteGradient, map_of, weighted


def grad_cam_formula(found: SiteGradient) -> Map:
    """Sum over channels of activation times mean gradient."""
    return weighted(found.activations, found.gradients.mean(axis=(1, 2)))


@compiled
def grad_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""How much each cell of a site speaks for the target, by channel importance.

    With $A^d$ the site's channels and $g = \partial f / \partial A$:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d \alpha_d A^d_{ij}\Big), \qquad
       \alpha_d = \tfrac1{IJ} \sum_{ij} g^d_{ij} $$

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation: usually the last one that has
        a spatial grid.
      relu: keep only evidence for the target, as published; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, in units of the score (per cell, up to a factor $IJ$).

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, or its axes can't
        be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).mean((1, 2))
      >>> x = jnp.array([[[[4.0], [-8.0]]]])
      >>> grad_cam(model, x, jnp.array([0]), site="relu:0", axes="nhwc")
      Array([[[2., 0.]]], dtype=float32)

    References:
      [selvaraju2017grad], eq. 1 and 2.
    """
    del key
    return map_of(
        grad_cam_formula, model, images, targets, site, relu, axes, score, chunk_size
    )
