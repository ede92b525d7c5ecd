"""Kernel SHAP: Shapley values of features as a weighted least-squares fit."""

from functools import partial
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from xattr._checks import check_count
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import fold
from xattr._one_by_one import one_by_one
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.perturbations._features import (
    Grid,
    Segments,
    evaluate_coalitions,
    features_of,
    spread,
    with_ends,
)


@compiled
def kernel_shap(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    grid: Grid = 8,
    segments: Segments | None = None,
    num_samples: int | None = None,
    baseline: Baseline = 0.0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ... 1"]:
    r"""Share of the score's change from the baseline owed to the pixel's feature.

    With $z \in \{0, 1\}^M$ saying which features are shown, and $x_z$ the image with
    the others replaced by the baseline's:

    $$ \min_a \sum_z \frac{M - 1}{\binom{M}{|z|} |z| (M - |z|)}
       \left(f(x_z) - f(x_0) - a^\top z\right)^2
       \quad\text{with}\quad \sum_j a_j = f(x) - f(x_0) $$

    over all $z$ other than none and all, where the solution is the Shapley values; or,
    where there are more than `num_samples`, over that many drawn by these weights.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images to explain, `n h w c`, or `n ... c` with any spatial axes.
      targets: what `score` selects; when None, the classes predicted on the images.
      grid: cells along each spatial axis, one number for all axes or one for each.
      segments: masks that take the place of the grid, from
        `xattr.images.superpixels(images)`. A pixel under several belongs to the first
        of them; one under none is never replaced.
      num_samples: evaluations per image, besides two for the ends. When None,
        $2 M + 2048$.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      score: scalar being explained.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image; not needed where all $2^M - 2$ are evaluated.

    Returns:
      At each pixel the value of its feature, not divided by the feature's area. Over
      the features, the values sum to $f(x) - f(x_0)$, however many are drawn. Pixels of
      no feature get 0.

    Raises:
      TypeError: if `segments` is no array of booleans, or a count no whole number.
      ValueError: if `key` is None where it is needed, `num_samples` < 1, there are more
        cells than pixels, the segments do not fit the images, or the baseline does not
        broadcast to them.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x.prod((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[2.0], [3.0]]]])
      >>> kernel_shap(model, x, grid=(1, 2)).ravel()
      Array([3., 3.], dtype=float32)

    References:
      [lundberg2017unified], theorem 2.

    Notes:
      The constraint is imposed exactly; captum gives both ends a weight of a million.
      Each draw is followed by its complement, as in shap. Where the draws leave the
      solution open, the one closest to equal shares is taken.
    """
    features = features_of(images, grid, segments)
    wanted = 2 * features.num + 2048 if num_samples is None else num_samples
    check_count("num_samples", wanted)
    everything = 2**features.num - 2
    if everything <= wanted:
        num, keys = everything, None
        shown, weights = _every(features.num), _shapley_kernel(features.num)
    else:
        num, keys = wanted, per_image(key, images.shape[0])
        shown, weights = _drawn(features.num), np.ones(num)
    scores, on = evaluate_coalitions(
        model,
        images,
        targets,
        features,
        with_ends(shown, num),
        keys,
        num=num + 2,
        baseline=baseline,
        score=score,
        chunk_size=chunk_size,
    )
    weights = jnp.asarray(weights, scores.dtype)
    return spread(_fit(on[:, :num], scores, weights), features, images)


def _every(num: int):
    """Coalition number $i$ shows the features whose bits are set in $i + 1$."""
    return lambda _, index: (index[:, None] + 1) >> jnp.arange(num)[None] & 1 == 1


def _shapley_kernel(num: int) -> np.ndarray:
    """The weights of all of them, up to a factor that the fit does not see."""
    sizes = [i.bit_count() for i in range(1, 2**num - 1)]
    weights = [1 / (comb(num, k) * k * (num - k)) for k in sizes]
    return np.asarray(weights) / max(sum(weights), 1e-300)


def _drawn(num: int):
    """Coalitions drawn by the Shapley kernel, each followed by its complement."""
    sizes = np.arange(1, num)
    chances = jnp.asarray(-np.log(sizes * (num - sizes)), jnp.float32)

    def draw(key: Keys) -> Bool[Array, " m"]:
        own, other = jax.random.split(key)
        size = 1 + jax.random.categorical(own, chances)
        return jax.random.permutation(other, num) < size

    def shown(keys: Keys, index: Int[Array, " pairs"]) -> Bool[Array, "pairs m"]:
        return jax.vmap(draw)(fold(keys, index // 2)) ^ (index % 2 == 1)[:, None]

    return shown


def _fit(
    on: Bool[Array, "n s m"], scores: Float[Array, "n num"], weights: Float[Array, " s"]
) -> Float[Array, "n m"]:
    """The least-squares values that sum to the rise from no feature to all.

    Beyond equal shares they sum to zero, so that only the features' deviations from
    each coalition's mean matter.
    """
    low, rise = scores[:, -2], scores[:, -1] - scores[:, -2]
    z = on.astype(scores.dtype)
    share = z.mean(-1)
    rest = scores[:, :-2] - low[:, None] - share * rise[:, None]
    z = z - share[..., None]
    weighted = (weights[None, :, None] * z).swapaxes(1, 2)
    gram = jnp.matmul(weighted, z, precision="highest")
    right = jnp.matmul(weighted, rest[..., None], precision="highest")
    inverse = one_by_one(partial(jnp.linalg.pinv, hermitian=True), gram)
    beyond = jnp.matmul(inverse, right, precision="highest")[..., 0]
    beyond = beyond - beyond.mean(-1, keepdims=True)
    return rise[:, None] / z.shape[-1] + beyond
