"""XGrad-CAM: channels weighted by their gradient where they are active."""

from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import Map, SiteGradient, map_of, ratio, weighted


def xgrad_cam_formula(found: SiteGradient) -> Map:
    """Sum over channels of activation times gradient averaged by activation."""
    total = found.activations.sum(axis=(1, 2))
    products = (found.activations * found.gradients).sum(axis=(1, 2))
    return weighted(found.activations, ratio(products, total))


@compiled
def xgrad_cam(
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
    r"""How much each cell speaks for the target, by what its channels add to it.

    With $A^d$ the site's channels and $g = \partial f / \partial A$:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d \alpha_d A^d_{ij}\Big), \qquad
       \alpha_d = \frac{\sum_{ij} g^d_{ij} A^d_{ij}}{\sum_{ij} A^d_{ij}} $$

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
      A map on the site's grid, in units of the score. Without the ReLU it sums to what
      `hires_cam` sums to.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, or its axes can't
        be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: (jax.nn.relu(x) * jnp.array([[[[1.0], [3.0]]]])).sum((1, 2))
      >>> x = jnp.array([[[[6.0], [2.0]]]])
      >>> xgrad_cam(model, x, jnp.array([0]), site="relu:0", axes="nhwc")
      Array([[[9., 3.]]], dtype=float32)

    References:
      [fu2020axiom].

    Notes:
      The authors add 1e-6 to the denominator; here a channel that sums to zero weighs
      nothing, so that the map does not depend on the activations' scale. Choose a site
      after a ReLU: where positive and negative activations cancel, weights are large.
    """
    del key
    return map_of(
        xgrad_cam_formula, model, images, targets, site, relu, axes, score, chunk_size
    )
