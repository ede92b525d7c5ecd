"""All class activation maps of one site that one gradient gives."""

from collections.abc import Sequence

from jaxtyping import PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._eigen_cam import eigen_cam_formula
from xattr.cams._eigen_grad_cam import eigen_grad_cam_formula
from xattr.cams._grad_cam import grad_cam_formula
from xattr.cams._grad_cam_elementwise import grad_cam_elementwise_formula
from xattr.cams._grad_cam_plus_plus import grad_cam_plus_plus_formula
from xattr.cams._hires_cam import hires_cam_formula
from xattr.cams._layer_cam import layer_cam_formula
from xattr.cams._site_gradient import Formula, Map, finish, site_gradient
from xattr.cams._xgrad_cam import xgrad_cam_formula

_FORMULAS: dict[str, Formula] = {
    "grad_cam": grad_cam_formula,
    "grad_cam_plus_plus": grad_cam_plus_plus_formula,
    "hires_cam": hires_cam_formula,
    "layer_cam": layer_cam_formula,
    "grad_cam_elementwise": grad_cam_elementwise_formula,
    "xgrad_cam": xgrad_cam_formula,
    "eigen_cam": eigen_cam_formula,
    "eigen_grad_cam": eigen_grad_cam_formula,
}


@compiled
def gradient_cams(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    methods: Sequence[str] = tuple(_FORMULAS),
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> dict[str, Map]:
    """The maps of several methods at one site, for the price of one.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation.
      methods: names of the methods, all of them by default: `grad_cam`,
        `grad_cam_plus_plus`, `hires_cam`, `layer_cam`, `grad_cam_elementwise`,
        `xgrad_cam`, `eigen_cam`, `eigen_grad_cam`.
      relu: keep only evidence for the target; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Under each name the map that the method of that name gives, with its other
      arguments at their defaults.

    Raises:
      ValueError: if a method is none of the above, the site is unknown, ambiguous or
        inside a loop, or its axes can't be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).mean((1, 2))
      >>> x = jnp.array([[[[4.0], [-8.0]]]])
      >>> maps = gradient_cams(model, x, site="relu:0", axes="nhwc")
      >>> maps["grad_cam"]
      Array([[[2., 0.]]], dtype=float32)
    """
    del key
    unknown = sorted(set(methods) - set(_FORMULAS))
    if unknown or isinstance(methods, str):
        raise ValueError(
            f"`methods`={methods!r}; each must be one of {', '.join(_FORMULAS)}: "
            f"`methods=('grad_cam', 'layer_cam')`."
        )

    def evaluate(rows, _):
        images, targets = rows
        found = site_gradient(model, images, targets, site, score, axes)
        return {name: finish(_FORMULAS[name](found), relu, images) for name in methods}

    maps = evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)
    return {name: maps[name][:, 0] for name in methods}
