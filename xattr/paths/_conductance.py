"""Conductance: the score's change along the straight path, by unit of a site."""

import jax
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
from xattr.program import at_site


@compiled
def conductance(
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
    r"""Share of the score's change from `baseline` to the image through each unit.

    With $f$ the score of the target and $y$ the site's activation on
    $x_t = b + t (x - b)$, by a quadrature rule of $S$ = `num_steps` nodes $t_s$ and
    weights $w_s$:

    $$ a = \sum_{s=1}^{S} w_s \, \frac{\partial f}{\partial y}(x_{t_s}) \odot
       \frac{\mathrm{d} y}{\mathrm{d} t}(x_{t_s}) $$

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images,
        kept along the path.
      site: exact name or module path of the activation.
      baseline: what means "no evidence", in the units of the images: a number, a color,
        or images that broadcast to `images`; with a leading axis more several
        baselines, whose maps are averaged. Zeros when None.
      num_steps: gradients per image and baseline; cost is linear, memory is not
        affected.
      rule: `midpoint`, `gauss_legendre`, `trapezoid` or `right`.
      axes: which axis of the site is which, as letters of `ndhwc?`; read from the model
        when None.
      score: scalar being explained; of a unit above the site, `xattr.unit` with
        `xattr.at_site(model, above)` as the model.
      chunk_size: gradients held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Signed contributions of the units, of the site's shape with the batch first and
      channels last: `n i j d` where it has a grid. If all that the score reads of the
      image passes through the site, they sum to $f(x) - f(b)$ up to the quadrature's
      error, as those of `integrated_gradients` do, with the same error.

    Raises:
      TypeError: if `baseline` is neither a number nor an array, or the model has
        operations below the site with a derivative that only runs backward.
      ValueError: if `baseline` does not broadcast to `images`, `rule` is unknown or
        `num_steps` too small for it, the site is unknown, ambiguous or inside a loop,
        or which of its axes is the batch can't be read.

    Example:
      >>> model = lambda x: (jax.nn.relu(x) ** 2).sum(-1, keepdims=True)
      >>> x = jnp.array([[3.0, -1.0]])
      >>> conductance(model, x, site="relu:0")
      Array([[9., 0.]], dtype=float32)

    References:
      [dhamdhere2019how].

    Notes:
      The derivative along the path is exact, by forward differentiation. Captum takes
      differences between neighboring steps, after [shrikumar2018computationally].
    """
    del key
    path = straight(images, baseline, rule, num_steps)
    targets = resolve_targets(model, images, targets, chunk_size)
    activation = at_site(model, site, axes=axes)

    def evaluate(rows, index):
        images, targets, image = rows
        step = path.step(images, image, index)
        slopes = influence(model, step.point, targets, site, axes, score)
        _, pace = jax.jvp(activation, (step.point,), (step.way,))
        return (along(step.weight, slopes) * slopes * pace).astype(images.dtype)

    rows = (images, targets, jnp.arange(images.shape[0]))
    total = sum_all(evaluate, rows, num=path.num, chunk_size=chunk_size)
    return total / path.baselines.shape[0]
