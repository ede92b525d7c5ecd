"""Random subsets of pixels: what maps say of them, and what the score loses."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from xattr._chunking import evaluate_all
from xattr._keys import per_image
from xattr._noise import fold
from xattr._scores import score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._pixelwise import pixelwise
from xattr.paths._baselines import Baseline, one_baseline

# A key of each pair and the number of its subset -> the pixels that are in it.
Draw = Callable[[Keys, Int[Array, " pairs"]], Bool[Array, "pairs h w"]]


class Removals(NamedTuple):
    """What is said of each subset and what it did.

    Attributes:
      sums: sum of the map over the subset.
      losses: minus the score without the subset. The score of the whole image would
        be the same term in each, which no correlation sees.
    """

    sums: Float[Array, "n s"]
    losses: Float[Array, "n s"]


def removals(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree,
    draw: Draw,
    *,
    num: int,
    baseline: Baseline,
    score: Score,
    chunk_size: int | None,
    key: Keys | None,
) -> Removals:
    """Sums and losses of `num` subsets of each image, which the baseline replaces."""
    rows = (
        images,
        pixelwise(maps, images),
        one_baseline(images, baseline),
        resolve_targets(model, images, targets, chunk_size),
        per_image(key, images.shape[0]),
    )

    def evaluate(rows: PyTree, index: Array) -> tuple[Array, Array]:
        images, maps, fill, targets, keys = rows
        subset = draw(fold(keys, index), index)
        without = jnp.where(subset[..., None], fill, images)
        scores, _ = score_and_targets(score, model(without), targets)
        return jnp.where(subset, maps, 0).sum((1, 2)), -scores

    return Removals(*evaluate_all(evaluate, rows, num=num, chunk_size=chunk_size))


def random_pixels(
    keys: Keys, sizes: Int[Array, " m"], grid: tuple[int, int]
) -> Bool[Array, "m h w"]:
    """As many pixels of the grid as `sizes` says, all subsets of a size alike likely.

    Example:
      >>> key = jax.random.key(0)[None]
      >>> int(random_pixels(key, jnp.array([3]), (4, 5)).sum())
      3
    """
    height, width = grid

    def one(key: Keys, size: Array) -> Array:
        return jax.random.permutation(key, height * width) < size

    return jax.vmap(one)(keys, sizes).reshape(-1, height, width)


def settled(x: Float[Array, "n s"]) -> Float[Array, "n s"]:
    """Rows that differ by no more than rounding made constant, others as they are.

    The sums of a constant map differ by the order of summation alone, which is not
    what a correlation is to see.

    Example:
      >>> settled(jnp.array([[1.0, 1.0000001], [1.0, 2.0]]))
      Array([[1., 1.],
             [1., 2.]], dtype=float32)
    """
    rounding = 16 * jnp.finfo(x.dtype).eps * jnp.abs(x).max(1, keepdims=True)
    spread = x.max(1, keepdims=True) - x.min(1, keepdims=True)
    return jnp.where(spread <= rounding, x[:, :1], x)
