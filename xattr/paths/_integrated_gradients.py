"""Integrated gradients: the score's change along the straight path, by pixel."""

import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._chunking import sum_all
from xattr._compile import compiled
from xattr._scores import gradient_of_score, logit
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.paths._quadrature import Rule
from xattr.paths._straight import along, straight


@compiled
def integrated_gradients(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    baseline: Baseline | None = None,
    num_steps: int = 32,
    rule: Rule = "midpoint",
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""Share of the score's change from `baseline` to the image owed to each value.

    With $f$ the score of the target, along the straight path by a quadrature rule of
    $S$ = `num_steps` nodes $t_s$ and weights $w_s$:

    $$ a = (x - b) \odot \sum_{s=1}^{S} w_s \nabla f\big(b + t_s (x - b)\big) $$

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images,
        kept along the path.
      baseline: what means "no evidence", in the units of the images: a number, a
        color, or images that broadcast to `images`. With a leading axis more
        (`b n h w c` or `b 1 h w c`) several baselines, whose maps are averaged. Zeros
        when None.
      num_steps: gradients per image and baseline; cost is linear, memory is not
        affected.
      rule: `midpoint`, `gauss_legendre`, `trapezoid` or `right`.
      score: scalar being explained.
      chunk_size: gradients held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Signed contributions, whose sum over an image is $f(x) - f(b)$ up to the
      quadrature's error (with several baselines, the mean of $f(b)$).

    Raises:
      TypeError: if `baseline` is neither a number nor an array.
      ValueError: if `baseline` does not broadcast to `images`, `rule` is unknown or
        `num_steps` too small for it.

    Example:
      >>> model = lambda x: jnp.stack([(x**2).sum((1, 2, 3)), x.sum((1, 2, 3))], -1)
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> integrated_gradients(model, x, jnp.array([0]), num_steps=4).ravel()
      Array([ 9., 16.], dtype=float32)

    References:
      [sundararajan2017axiomatic], eq. 1 and 3.

    Notes:
      The paper sums right endpoints (`rule="right"`). The midpoint costs the same and,
      where the score is smooth, converges one order faster. Weights sum to 1 in every
      rule; captum's trapezoid of $S$ nodes has weights that sum to $(S - 1)/S$, so its
      maps are that much smaller.
    """
    del key
    path = straight(images, baseline, rule, num_steps)
    targets = resolve_targets(model, images, targets, chunk_size)

    def evaluate(rows, index):
        images, targets, image = rows
        step = path.step(images, image, index)
        slope = gradient_of_score(model, step.point, targets, score)
        return along(step.weight, slope) * step.way * slope

    rows = (images, targets, jnp.arange(images.shape[0]))
    total = sum_all(evaluate, rows, num=path.num, chunk_size=chunk_size)
    return total / path.baselines.shape[0]
