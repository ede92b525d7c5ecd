"""Internal influence: the mean gradient with respect to a site, along a path."""

import jax.numpy as jnp
from jaxtyping import Array, Inexact, PyTree

from xattr._chunking import sum_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.paths._influence import influence
from xattr.paths._quadrature import Rule
from xattr.paths._straight import along, straight


@compiled
def internal_influence(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    baseline: Baseline | None = None,
    num_steps: int = 32,
    rule: Rule = "midpoint",
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Inexact[Array, "n ..."]:
    r"""How much the score changes per unit change of each activation, along a path.

    With $f$ the score of the target, $y$ the site's activation, and $S$ = `num_steps`
    nodes $t_s$ and weights $w_s$ of a quadrature rule:

    $$ a = \sum_{s=1}^{S} w_s \, \frac{\partial f}{\partial y}
       \big(b + t_s (x - b)\big) $$

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images,
        kept along the path.
      site: exact name or module path of the activation.
      baseline: where the path begins, in the units of the images: a number, a color, or
        images that broadcast to `images`; with a leading axis more several baselines,
        whose maps are averaged. Zeros when None.
      num_steps: gradients per image and baseline.
      rule: `midpoint`, `gauss_legendre`, `trapezoid` or `right`. One step of `right` is
        the gradient at the image itself.
      axes: which axis of the site is which, as letters of `ndhwc?`; read from the model
        when None.
      score: scalar being explained; of a unit above the site, `xattr.unit` with
        `xattr.at_site(model, above)` as the model.
      chunk_size: gradients held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      The signed influence of each unit, of the site's shape with the batch first and
      channels last: `n i j d` where it has a grid.

    Raises:
      TypeError: if `baseline` is neither a number nor an array.
      ValueError: if `baseline` does not broadcast to `images`, `rule` is unknown or
        `num_steps` too small for it, the site is unknown, ambiguous or inside a loop,
        or which of its axes is the batch can't be read.

    Example:
      >>> import jax
      >>> model = lambda x: (jax.nn.relu(x) ** 2).sum(-1, keepdims=True)
      >>> x = jnp.array([[3.0, -1.0]])
      >>> internal_influence(model, x, site="relu:0")
      Array([[3., 0.]], dtype=float32)
      >>> internal_influence(model, x, site="relu:0", rule="right", num_steps=1)
      Array([[6., 0.]], dtype=float32)

    References:
      [leino2018influence].

    Notes:
      The paper takes the mean over any distribution of images; this is the uniform one
      on the path, as in captum.
    """
    del key
    path = straight(images, baseline, rule, num_steps)
    targets = resolve_targets(model, images, targets, chunk_size)

    def evaluate(rows, index):
        images, targets, image = rows
        step = path.step(images, image, index)
        slopes = influence(model, step.point, targets, site, axes, score)
        return (along(step.weight, slopes) * slopes).astype(images.dtype)

    rows = (images, targets, jnp.arange(images.shape[0]))
    total = sum_all(evaluate, rows, num=path.num, chunk_size=chunk_size)
    return total / path.baselines.shape[0]
