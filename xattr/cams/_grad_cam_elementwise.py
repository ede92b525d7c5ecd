"""Element-wise Grad-CAM: positive products of activation and gradient."""

import jax
from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import Map, SiteGradient, map_of


def grad_cam_elementwise_formula(found: SiteGradient) -> Map:
    """Sum over channels of the positive part of activation times gradient."""
    return jax.nn.relu(found.activations * found.gradients).sum(axis=3)


@compiled
def grad_cam_elementwise(
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
    r"""How much speaks for the target in each cell, whatever speaks against it.

    With $A^d$ the site's channels and $g = \partial f / \partial A$:

    $$ L_{ij} = \sum_d \mathrm{ReLU}\big(g^d_{ij} A^d_{ij}\big) $$

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation.
      relu: changes nothing, for no term of the sum is negative; accepted so that all
        class activation maps share one signature.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, zero or positive, in units of the score.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, or its axes can't
        be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> weights = jnp.array([[1.0], [-3.0]])
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2)) @ weights
      >>> x = jnp.array([[[[4.0, 2.0], [1.0, 0.0]]]])
      >>> grad_cam_elementwise(model, x, jnp.array([0]), site="relu:0", axes="nhwc")
      Array([[[4., 1.]]], dtype=float32)

    References:
      [gildenblat2021pytorch], `GradCAMElementWise`.

    Notes:
      The ReLU stands inside the sum and is the method: without it the map is that of
      `hires_cam(relu=False)`.
    """
    del key
    return map_of(
        grad_cam_elementwise_formula,
        model,
        images,
        targets,
        site,
        relu,
        axes,
        score,
        chunk_size,
    )
