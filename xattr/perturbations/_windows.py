"""Where a sliding window stands, and which pixels it covers."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from xattr._checks import check_count
from xattr.program import Boxes

Extent = int | Sequence[int]


class Windows(NamedTuple):
    """All positions of a window over a grid of pixels.

    Position $k$ along an axis covers the pixels from $k$ times the stride on, as many
    as the window is long; the last one is cut short by the border where the stride
    does not fit.

    Attributes:
      sizes: extent of the pixels along each axis.
      window: extent of the window along each axis.
      strides: pixels from one position to the next along each axis.
      counts: number of positions along each axis.
    """

    sizes: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def num(self) -> int:
        """Number of positions in all."""
        return math.prod(self.counts)

    @property
    def boxes(self) -> Boxes:
        """The pixels under each position, numbered with the last axis fastest."""
        along = np.unravel_index(np.arange(self.num), self.counts)
        low = np.stack(along, axis=1) * np.array(self.strides)
        return Boxes(low, np.minimum(low + self.window, self.sizes))


def slide(sizes: Sequence[int], window: Extent, stride: Extent) -> Windows:
    """Positions of a window that moves by `stride` until it reaches the far border.

    Example:
      >>> slide((7, 4), (3, 2), 2).counts
      (3, 2)
    """
    extents = _per_axis("window", window, len(sizes))
    strides = _per_axis("stride", stride, len(sizes))
    if any(extent > size for extent, size in zip(extents, sizes, strict=True)):
        raise ValueError(
            f"`window`={extents} is larger than the images, {tuple(sizes)}. It may be "
            f"at most as large along each axis: `window={tuple(sizes)}`."
        )
    counts = tuple(
        min(math.ceil((size - extent) / step) + 1, math.ceil(size / step))
        for size, extent, step in zip(sizes, extents, strides, strict=True)
    )
    return Windows(tuple(sizes), extents, strides, counts)


def mean_over_windows(
    values: Inexact[Array, "n ..."], where: Windows
) -> Inexact[Array, "n ..."]:
    """For each pixel, the mean of the values of the positions that cover it.

    Pixels that no position covers get 0.

    Args:
      values: a value per image and position, with an axis per axis of the positions.
      where: the positions.
    """
    count = jnp.ones((1, *where.counts), values.dtype)
    return _sum_over(values, where) / jnp.maximum(_sum_over(count, where), 1)


def _sum_over(values: Array, where: Windows) -> Array:
    for axis, size in enumerate(where.sizes):
        start = where.strides[axis] * jnp.arange(where.counts[axis])[:, None]
        pixel = jnp.arange(size)[None]
        covers = (pixel >= start) & (pixel < start + where.window[axis])
        # Only a sum: in full precision, whatever precision products are set to.
        values = jnp.moveaxis(
            jnp.tensordot(
                values,
                covers.astype(values.dtype),
                axes=([axis + 1], [0]),
                precision=jax.lax.Precision.HIGHEST,
            ),
            -1,
            axis + 1,
        )
    return values


def _per_axis(name: str, value: Extent, rank: int) -> tuple[int, ...]:
    each = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    for extent in each:
        check_count(name, extent, least=0)
    if len(each) != rank or any(extent < 1 for extent in each):
        raise ValueError(
            f"`{name}`={value}; it must be a number of pixels, at least 1, or one for "
            f"each of the {rank} spatial axes: `{name}={(8,) * rank}`."
        )
    return each
