"""CAM: activations weighted by the linear head that follows the pooling."""

from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._layout import site_layout
from xattr.cams._site_gradient import Map, SiteGradient, map_of, weighted
from xattr.program import affine_above, perturb


def cam_formula(found: SiteGradient) -> Map:
    """Sum over channels of activation times weight; each cell has its share of that."""
    return weighted(found.activations, found.gradients.sum(axis=(1, 2)))


@compiled
def cam(
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
    r"""How much each cell of the pooled site speaks for the target.

    With $A^d$ the channels that are averaged over space, and $w_d$ the weight of their
    mean in the target's score:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d w_d A^d_{ij}\Big), \qquad
       f = \sum_d w_d \, \tfrac1{IJ} \sum_{ij} A^d_{ij} + \text{const} $$

    The weights are read from the model: what lies above the site must be a pooling over
    all of space and affine layers, in any order, batch norm and 1x1 convolutions
    included.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation that is pooled.
      relu: keep only evidence for the target; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained. For one that is not linear in the outputs, $w$ is
        its derivative.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, in units of the score. Without the ReLU its mean is the
      score less the bias.

    Raises:
      ValueError: if what lies above the site is more than pooling and affine layers,
        the site is unknown, ambiguous or inside a loop, or its axes can't be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).mean((1, 2)) @ jnp.array([[2.0]])
      >>> x = jnp.array([[[[4.0], [-8.0]]]])
      >>> cam(model, x, jnp.array([0]), site="relu:0", axes="nhwc")
      Array([[[8., 0.]]], dtype=float32)

    References:
      [zhou2016learning], eq. 2.

    Notes:
      The paper has no ReLU: `relu=False`. Its map is that of a sum over space, so that
      its weights are those of the head; so are these.
    """
    del key
    one = images[:1]
    found = perturb(model, one, [site]).sites[site]
    layout = site_layout(model, one, found, site, axes)
    offending = affine_above(model, one, site, layout.positions)
    if offending is not None:
        raise ValueError(
            f"`site`={site!r} is followed by {offending!r}, which is no affine layer "
            f"over positions pooled alike, so that CAM is not defined there. Choose "
            f"the activation that is pooled, or use a method for any head: "
            f"`xattr.grad_cam(model, images, site={site!r})`."
        )
    return map_of(
        cam_formula, model, images, targets, site, relu, axes, score, chunk_size
    )
