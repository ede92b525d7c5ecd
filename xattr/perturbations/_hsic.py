"""HSIC: how strongly the score depends on whether a feature is shown."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from xattr._checks import check_count
from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.perturbations._features import (
    Grid,
    Segments,
    evaluate_coalitions,
    features_of,
    spread,
)


@compiled
def hsic(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    grid: Grid = 8,
    segments: Segments | None = None,
    num_samples: int = 500,
    baseline: Baseline = 0.0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ... 1"]:
    r"""Dependence of the score on whether the pixel's feature is shown.

    With $z_s \in \{0, 1\}^M$ saying which features are shown, $y_s$ the score with the
    others replaced, and the kernels $k(z, z') = \tfrac12 - (z - z')^2$ and
    $l(y, y') = \exp(-(y - y')^2 / (2 \sigma^2))$:

    $$ a_j = \frac{1}{N^2} \operatorname{tr}(K_j H L H)
           = \frac{2}{N^2} \sum_{s,t} (z_{sj} - \bar z_j)\, l(y_s, y_t)\,
             (z_{tj} - \bar z_j) $$

    with $H$ the centering matrix and $\sigma$ the median of $|y_s - y_t|$ over pairs.
    For features shown half of the time it is an eighth of the squared distance between
    the score's distributions with and without the feature (maximum mean discrepancy).

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images to explain, `n h w c`, or `n ... c` with any spatial axes.
      targets: what `score` selects; when None, the classes predicted on the images.
      grid: cells along each spatial axis, one number for all axes or one for each.
      segments: masks that take the place of the grid, from
        `xattr.images.superpixels(images)`. A pixel under several belongs to the first
        of them; one under none is never replaced.
      num_samples: $N$, evaluations per image. Each feature is shown in half of them.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      score: scalar being explained; `xattr.probability` gives the published figures.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image.

    Returns:
      At each pixel the estimate of its feature: not negative, without units or
      direction, and of the order of $1/N$ where the score does not depend on it. Pixels
      of no feature, and images whose score never varies, get 0.

    Raises:
      TypeError: if `segments` is no array of booleans, or a count no whole number.
      ValueError: if `key` is None, `num_samples` < 2, there are more cells than pixels,
        the segments do not fit the images, or the baseline does not broadcast to them.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: x[:, 0, 0]
      >>> x = jnp.array([[[[1.0], [3.0]]]])
      >>> found = hsic(model, x, grid=(1, 2), num_samples=100, key=jax.random.key(0))
      >>> bool(jnp.isclose(found[0, 0, 0, 0], (1 - jnp.exp(-0.5)) / 4))
      True
      >>> bool(found[0, 0, 1, 0] < 0.01)
      True

    References:
      [novello2022making], section 3.

    Notes:
      Samples are a Latin hypercube rounded to 0 and 1, as in the paper; the authors'
      later code rounds a Sobol sequence. That code divides by $N$ and takes the median
      of the scores themselves as $\sigma$, which a constant added to the score changes:
      here it is the median of their distances. A cell's pixels all get its estimate;
      the authors resize the grid by cubic interpolation.
    """
    check_count("num_samples", num_samples, least=2)
    features = features_of(images, grid, segments)
    draw = jax.vmap(lambda key: _halves(key, num_samples, features.num))
    scores, on = evaluate_coalitions(
        model,
        images,
        targets,
        features,
        _row,
        draw(per_image(key, images.shape[0])),
        num=num_samples,
        baseline=baseline,
        score=score,
        chunk_size=chunk_size,
    )

    def estimate(rows: Any, _: Array) -> Float[Array, "n m"]:
        return _dependence(*rows)

    # A matrix of all pairs of samples for each image: a few images at a time.
    values = evaluate_all(estimate, (scores, on), chunk_size=chunk_size)
    return spread(values[:, 0], features, images)


def _halves(key: Keys, num: int, m: int) -> Bool[Array, "num m"]:
    """Samples in which each feature is on half of the time, in an order of its own."""
    order = jax.vmap(lambda key: jax.random.permutation(key, num), out_axes=1)
    return order(jax.random.split(key, m)) < (num + 1) // 2


def _row(design: Bool[Array, "pairs s m"], index: Int[Array, " pairs"]) -> Array:
    return jnp.take_along_axis(design, index[:, None, None], axis=1)[:, 0]


def _dependence(
    scores: Float[Array, "n s"], on: Bool[Array, "n s m"]
) -> Float[Array, "n m"]:
    """HSIC of each feature with the score."""
    num = scores.shape[1]
    distance = jnp.abs(scores[:, :, None] - scores[:, None])
    first, second = np.triu_indices(num, 1)
    width = jnp.median(distance[:, first, second], axis=1)
    # Where more than half of the scores are equal, the mean tells the scale.
    width = jnp.where(width > 0, width, distance.mean((1, 2)))[:, None, None]
    kernel = jnp.exp(-0.5 * (distance / jnp.where(width > 0, width, 1)) ** 2)
    z = on.astype(scores.dtype)
    z = z - z.mean(1, keepdims=True)
    related = jnp.matmul(kernel, z, precision="highest")
    # A sum of squares but for rounding.
    return jnp.maximum((z * related).sum(1), 0) * 2 / num**2
