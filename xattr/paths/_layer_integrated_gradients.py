"""Layer integrated gradients: integrated gradients with a site in the image's place."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, PyTree

from xattr._chunking import evaluate_all, sum_all
from xattr._compile import compiled
from xattr._scores import logit, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline, one_baseline
from xattr.paths._quadrature import Rule, quadrature
from xattr.paths._straight import along
from xattr.program import arranged, split_at


@compiled
def layer_integrated_gradients(
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
    r"""Share of the score's change from a baseline's activation owed to each unit.

    With $y$ the site's activation, $g$ the score as a function of it, and $S$ =
    `num_steps` nodes $t_s$ and weights $w_s$ of a quadrature rule:

    $$ a = (y(x) - y(b)) \odot \sum_{s=1}^{S} w_s \nabla g\big(y(b) +
       t_s (y(x) - y(b))\big) $$

    Where `conductance` follows the activation of images between $b$ and $x$, this goes
    straight from one activation to the other. Only what lies above the site is
    evaluated at each step; what passes around the site stays that of the image.

    Args:
      model: function from a batch of images to outputs, differentiable above the site.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images,
        kept along the path.
      site: exact name or module path of the activation.
      baseline: what the path begins with the activation of, in the units of the images:
        a number, a color, or images that broadcast to `images`; zeros when None.
      num_steps: gradients per image; cost is linear, memory is not affected.
      rule: `midpoint`, `gauss_legendre`, `trapezoid` or `right`.
      axes: which axis of the site is which, as letters of `ndhwc?`; read from the model
        when None.
      score: scalar being explained; of a unit above the site, `xattr.unit` with
        `xattr.at_site(model, above)` as the model.
      chunk_size: gradients held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Signed contributions of the units, of the site's shape with the batch first and
      channels last: `n i j d` where it has a grid. They sum to the score's change when
      the site's activation is replaced by the baseline's, up to the quadrature's error:
      $f(x) - f(b)$, if nothing passes around the site.

    Raises:
      TypeError: if `baseline` is neither a number nor an array.
      ValueError: if `baseline` does not broadcast to `images` or holds several, `rule`
        is unknown or `num_steps` too small for it, the site is unknown, ambiguous or
        inside a loop, or which of its axes is the batch can't be read.

    Example:
      >>> model = lambda x: (jax.nn.relu(x) ** 2).sum(-1, keepdims=True)
      >>> x = jnp.array([[3.0, -1.0]])
      >>> layer_integrated_gradients(model, x, site="relu:0")
      Array([[9., 0.]], dtype=float32)

    References:
      [sundararajan2017axiomatic], eq. 1; [kokhlikyan2020captum].
    """
    del key
    nodes, weights = (
        jnp.asarray(part, images.dtype) for part in quadrature(rule, num_steps)
    )
    starts = one_baseline(images, baseline)
    targets = resolve_targets(model, images, targets, chunk_size)
    # For a batch of one under `vmap`: what passes around the site may have its batch on
    # any axis.
    split = split_at(model, images[:1], site)

    def begin(rows: Any, _: Array) -> Any:
        image, start = (x[:, None] for x in rows)
        return jax.vmap(split.below)(image), jax.vmap(split.below)(start)[0]

    def score_of(activation: Any, carried: Any, target: PyTree) -> Array:
        targets = jax.tree.map(lambda t: t[None], target)
        outputs = split.above(activation, carried)
        return score_and_targets(score, outputs, targets)[0][0]

    def evaluate(rows: Any, index: Array) -> Array:
        (end, carried), start, targets = rows
        way = end - start
        point = start + along(nodes[index], way).astype(way.dtype) * way
        slopes = jax.vmap(jax.grad(score_of))(point, carried, targets)
        return along(weights[index], way).astype(way.dtype) * way * slopes

    found = evaluate_all(begin, (images, starts), chunk_size=chunk_size)
    ends, begins = jax.tree.map(lambda x: x[:, 0], found)
    rows = (ends, begins, targets)
    total = sum_all(evaluate, rows, num=num_steps, chunk_size=chunk_size)
    each = jax.vmap(lambda one: arranged(one, split.site, axes)[0])(total)
    return each.astype(images.dtype)
