"""Eigen-CAM: the leading component of the activations."""

import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._leading import leading_projection
from xattr.cams._site_gradient import Map, SiteGradient, finish, site_and_outputs


def eigen_cam_formula(found: SiteGradient, center: bool = False) -> Map:
    """Projection of the activations on their leading direction."""
    return leading_projection(found.activations, center)


@compiled
def eigen_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    center: bool = False,
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""What dominates a site, whatever the class.

    With $A$ the activations, a row per cell and a column per channel, and $v$ their
    first right singular vector:

    $$ L = A v $$

    The sign of $v$ is that for which its entries sum to more than zero: cells of much
    activation are positive.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: ignored, as are `score` and `key`; accepted so that all methods share
        one signature.
      site: exact name or module path of the activation.
      center: subtract each channel's mean over the cells first, so that the component
        is that of largest variance.
      relu: keep only the positive part; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: ignored.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored.

    Returns:
      A map on the site's grid, in the site's units.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, or its axes can't
        be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).mean((1, 2))
      >>> x = jnp.array([[[[3.0, 4.0], [6.0, 8.0]]]])
      >>> eigen_cam(model, x, site="relu:0", axes="nhwc").round(4)
      Array([[[ 5., 10.]]], dtype=float32)

    References:
      [muhammad2020eigen].

    Notes:
      The paper has no ReLU. It changes nothing where activations are zero or positive
      and not centered: then the entries of the first singular vector share a sign.

      pytorch-grad-cam centers (`center=True`) and leaves the sign to the decomposition;
      its Seg-Eigen-CAM makes the entry farthest from zero positive.

      The component is found by an eigendecomposition of $A^T A$ or $A A^T$, whichever
      is smaller. It is not defined where the two largest singular values are equal.
    """
    del targets, score, key

    def evaluate(images, _):
        activations, _ = site_and_outputs(model, images, site, axes)
        found = SiteGradient(activations, jnp.zeros_like(activations))
        return finish(eigen_cam_formula(found, center), relu, images)

    return evaluate_all(evaluate, images, chunk_size=chunk_size)[:, 0]
