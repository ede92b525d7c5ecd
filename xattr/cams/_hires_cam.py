"""HiResCAM: activations weighted by their gradient, cell by cell."""

from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import Map, SiteGradient, map_of


def hires_cam_formula(found: SiteGradient) -> Map:
    """Sum over channels of activation times gradient."""
    return (found.activations * found.gradients).sum(axis=3)


@compiled
def hires_cam(
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
    r"""How much each cell of a site adds to the target's score.

    With $A^d$ the site's channels and $g = \partial f / \partial A$:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d g^d_{ij} A^d_{ij}\Big) $$

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation.
      relu: keep only evidence for the target; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, in units of the score. Without the ReLU, and where what
      lies above the site is affine, it sums to the score less the bias.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, or its axes can't
        be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: (jax.nn.relu(x) * jnp.array([[[[1.0], [3.0]]]])).sum((1, 2))
      >>> x = jnp.array([[[[4.0], [2.0]]]])
      >>> hires_cam(model, x, jnp.array([0]), site="relu:0", axes="nhwc")
      Array([[[4., 6.]]], dtype=float32)

    References:
      [draelos2020hirescam].

    Notes:
      The paper keeps the sign: `relu=False`.
    """
    del key
    return map_of(
        hires_cam_formula, model, images, targets, site, relu, axes, score, chunk_size
    )
