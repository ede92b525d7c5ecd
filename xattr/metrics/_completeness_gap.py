"""Completeness: do contributions add up to the change of the score?"""

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._valuewise import valuewise
from xattr.paths._baselines import Baseline, one_baseline


@compiled
def completeness_gap(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    baseline: Baseline = 0.0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""What a map's sum says too much of the score's change from the baseline.

    $$ \delta = \sum_u a_u - (f(x) - f(b)) $$

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per value, `n h w c`, or one per pixel, `n h w` or `n h w 1`.
      targets: what `score` selects; when None, the classes predicted on the images.
      baseline: $b$, in the units of the images: a number, a color, or images that
        broadcast to `images`. The same as the map's own.
      score: scalar that was explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all metrics share one signature.

    Returns:
      In units of the score, one per image: 0 is best, above 0 the map says too much.

    Raises:
      ValueError: if the maps do not fit the images, or the baseline does not broadcast
        to them.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [2.0]]]])
      >>> completeness_gap(model, x, 2 * x), completeness_gap(model, x, x)
      (Array([3.], dtype=float32), Array([0.], dtype=float32))

    References:
      [sundararajan2017axiomatic], section 3.

    Notes:
      captum's `compute_convergence_delta` is the same number. Quantus says whether
      the two sides are exactly equal, which rounding alone prevents.
    """
    del key
    total = valuewise(maps, images).sum((1, 2, 3))
    rows = (
        images,
        one_baseline(images, baseline),
        resolve_targets(model, images, targets, chunk_size),
    )

    def evaluate(rows: PyTree, index: Array) -> Array:
        images, fill, targets = rows
        whole = jnp.expand_dims(index == 0, range(1, images.ndim))
        outputs = model(jnp.where(whole, images, fill))
        return score_and_targets(score, outputs, targets)[0]

    scores = evaluate_all(evaluate, rows, num=2, chunk_size=chunk_size)
    return total - (scores[:, 0] - scores[:, 1])
