"""Eigen-Grad-CAM: the leading component of activation times gradient."""

from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._leading import leading_projection
from xattr.cams._site_gradient import Map, SiteGradient, map_of


def eigen_grad_cam_formula(found: SiteGradient, center: bool = True) -> Map:
    """Projection of activation times gradient on its leading direction."""
    return leading_projection(found.activations * found.gradients, center)


@compiled
def eigen_grad_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    center: bool = True,
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""The leading pattern in what the cells of a site add to the target's score.

    With $A$ and $g = \partial f / \partial A$ a row per cell and a column per channel,
    $M = g \odot A$ with the mean of each column taken away, and $v$ the first right
    singular vector of $M$:

    $$ L = \mathrm{ReLU}(M v) $$

    The sign of $v$ is that for which its entries sum to more than zero: the map agrees
    with that of `hires_cam`, the sum over the columns of $M$.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation.
      center: subtract each channel's mean over the cells first, so that the component
        is that of largest variance.
      relu: keep only evidence for the target; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, in units of the score.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, or its axes can't
        be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: (jax.nn.relu(x) * jnp.array([[[[1.0], [2.0]]]])).sum((1, 2))
      >>> x = jnp.array([[[[6.0], [5.0]]]])
      >>> eigen_grad_cam(model, x, jnp.array([0]), site="relu:0", axes="nhwc")
      Array([[[0., 2.]]], dtype=float32)

    References:
      [gildenblat2021pytorch], `EigenGradCAM`.

    Notes:
      pytorch-grad-cam leaves the sign to the decomposition: its map may be the negative
      of this one. That the entry farthest from zero be positive, as in Seg-Eigen-CAM,
      is no remedy: it may belong to cells that speak against the target.
    """
    del key

    def formula(found: SiteGradient) -> Map:
        return eigen_grad_cam_formula(found, center)

    return map_of(formula, model, images, targets, site, relu, axes, score, chunk_size)
