"""Features that are switched on and off: the cells of a grid, or given segments."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Inexact, Int, PyTree

from xattr._checks import check_count
from xattr._chunking import evaluate_all
from xattr._scores import score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Predictor, Score
from xattr.paths._baselines import one_baseline
from xattr.program import Boxes

Grid = int | Sequence[int]
Segments = Bool[Array, "#n m ..."]

# What belongs to each pair's image, and the pair's index -> how far each of `m`
# features is on.
Coalition = Callable[[PyTree, Int[Array, " pairs"]], Array]


class Features(NamedTuple):
    """Which feature each pixel belongs to.

    Attributes:
      owner: number of the pixel's feature; `num` where it belongs to none.
      num: number of features.
    """

    owner: Int[Array, "n ..."]
    num: int


def features_of(images: Images, grid: Grid, segments: Segments | None) -> Features:
    """Cells of a grid over the images, or the segments where they are given."""
    if images.ndim < 3:
        raise ValueError(
            f"`images` has shape {images.shape}; features need at least one spatial "
            f"axis between batch and channels, `n h w c`. For a table `n f` use "
            f"`images[:, :, None]` with `grid={images.shape[-1]}`."
        )
    if segments is None:
        owner, num = _cells(images.shape[1:-1], grid)
    else:
        _check_segments(images, segments)
        num = segments.shape[1]
        owner = jnp.where(segments.any(1), segments.argmax(1), num)
    return Features(jnp.broadcast_to(jnp.asarray(owner), images.shape[:-1]), num)


def evaluate_coalitions(
    model: Predictor,
    images: Images,
    targets: PyTree,
    features: Features,
    coalition: Coalition,
    rows: PyTree = None,
    *,
    num: int,
    baseline: Any,
    score: Score,
    chunk_size: int | None,
) -> tuple[Float[Array, "n num"], Array]:
    """The score with `num` choices of features switched on, and these choices.

    Scores are in single precision at least: what is made of them sums many.
    """

    def evaluate(rows: Any, index: Int[Array, " pairs"]) -> tuple[Array, Array]:
        images, fill, owner, targets, own = rows
        on = coalition(own, index)
        outputs = model(switched(images, fill, owner, on))
        scores, _ = score_and_targets(score, outputs, targets)
        return scores.astype(jnp.promote_types(scores.dtype, jnp.float32)), on

    everything = (
        images,
        one_baseline(images, baseline),
        features.owner,
        resolve_targets(model, images, targets, chunk_size),
        rows,
    )
    return evaluate_all(evaluate, everything, num=num, chunk_size=chunk_size)


def with_ends(coalition: Coalition, num: int) -> Coalition:
    """The first `num` coalitions, then that of no feature, then that of all."""

    def extended(rows: PyTree, index: Int[Array, " pairs"]) -> Array:
        inner = coalition(rows, jnp.minimum(index, max(num - 1, 0)))
        return jnp.where((index < num)[:, None], inner, (index > num)[:, None])

    return extended


def switched(
    images: Images, fill: Images, owner: Int[Array, "n ..."], on: Array
) -> Images:
    """Images with each feature as far on as `on` says; pixels of none stay."""
    kept = _at_pixels(on, owner, 1)
    if kept.dtype == bool:
        return jnp.where(kept, images, fill)
    kept = kept.astype(images.dtype)
    return kept * images + (1 - kept) * fill


def spread(
    values: Float[Array, "n m"], features: Features, images: Images
) -> Inexact[Array, "n ... 1"]:
    """Each pixel gets the value of its feature, and 0 if it has none."""
    return _at_pixels(values, features.owner, 0).astype(images.dtype)


def mean_colors(images: Images, features: Features) -> Images:
    """Images whose features have their own mean color throughout."""
    flat = images.reshape(images.shape[0], -1, images.shape[-1])
    owner = features.owner.reshape(images.shape[0], -1)

    def evaluate(rows: Any, _: Array) -> Array:
        pixels, owner = rows
        members = jax.nn.one_hot(owner, features.num, axis=1, dtype=_wide(pixels))
        sums = jnp.matmul(members, pixels.astype(members.dtype), precision="highest")
        means = sums / jnp.maximum(members.sum(-1, keepdims=True), 1)
        own = jnp.einsum("nmp,nmc->npc", members, means, precision="highest")
        return own.astype(pixels.dtype)

    # One image at a time: its features as masks are larger than itself.
    colors = evaluate_all(evaluate, (flat, owner), chunk_size=1)
    return colors[:, 0].reshape(images.shape)


def _at_pixels(values: Array, owner: Int[Array, "n ..."], outside: int) -> Array:
    """The value of each pixel's feature, with a last axis of one."""
    end = jnp.full((values.shape[0], 1), outside, values.dtype)
    found = jnp.take_along_axis(
        jnp.concatenate([values, end], axis=1),
        owner.reshape(owner.shape[0], -1),
        axis=1,
        mode="promise_in_bounds",
    )
    return found.reshape(*owner.shape, 1)


def _wide(x: Array) -> Any:
    return jnp.promote_types(x.dtype, jnp.float32)


def cell_boxes(images: Images, grid: Grid) -> Boxes:
    """The cells of a grid over the images, numbered as their features are."""
    along = _along(images.shape[1:-1], grid)
    counts = [int(cell[-1]) + 1 for cell in along]
    index = np.unravel_index(np.arange(math.prod(counts)), counts)
    pairs = list(zip(along, index, strict=True))
    low = [np.searchsorted(cell, k, side="left") for cell, k in pairs]
    high = [np.searchsorted(cell, k, side="right") for cell, k in pairs]
    return Boxes(np.stack(low, axis=1), np.stack(high, axis=1))


def _cells(sizes: Sequence[int], grid: Grid) -> tuple[np.ndarray, int]:
    """The cell that holds each pixel's center, and the number of cells."""
    along = _along(sizes, grid)
    counts = [int(cell[-1]) + 1 for cell in along]
    index = np.ravel_multi_index(np.meshgrid(*along, indexing="ij"), counts)
    return index.astype(np.int32), math.prod(counts)


def _along(sizes: Sequence[int], grid: Grid) -> list[np.ndarray]:
    """The cell of each pixel along each axis: every cell has some."""
    counts = tuple(grid) if isinstance(grid, Sequence) else (grid,) * len(sizes)
    for count in counts:
        check_count("grid", count, least=0)
    if len(counts) != len(sizes) or not all(
        1 <= count <= size for count, size in zip(counts, sizes, strict=True)
    ):
        raise ValueError(
            f"`grid`={grid} for images of {tuple(sizes)} pixels; it must be a number "
            f"of cells from 1 to the number of pixels, or one for each of the "
            f"{len(sizes)} spatial axes: `grid={(1,) * len(sizes)}`."
        )
    return [
        (2 * np.arange(size) + 1) * count // (2 * size)
        for count, size in zip(counts, sizes, strict=True)
    ]


def _check_segments(images: Images, segments: Any) -> None:
    dtype = getattr(segments, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.bool_):
        kind = f"a {type(segments).__name__}"
        found = kind if dtype is None else f"an array of {dtype}"
        raise TypeError(
            f"`segments` is {found}; it must be one boolean mask per segment, `n m h "
            f"w`, as from `xattr.images.superpixels(images)`. For labels `n h w` from "
            f"0 to m - 1 use `labels[:, None] == jnp.arange(m)[:, None, None]`."
        )
    wanted = images.shape[1:-1]
    if (
        segments.ndim != images.ndim
        or segments.shape[0] not in (1, images.shape[0])
        or segments.shape[1] == 0
        or segments.shape[2:] != wanted
    ):
        raise ValueError(
            f"`segments` has shape {segments.shape} for images of shape "
            f"{images.shape}; it must be `n m h w` for images `n h w c`, with at least "
            f"one segment, or `1 m h w` for all images alike, as from "
            f"`xattr.images.superpixels(images)`."
        )
