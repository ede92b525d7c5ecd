"""The transpose of a convolution, as convolutions without strides.

Entries of the images that stand at the same phase of the stride are reached by the same
taps of the kernel: each phase is a convolution of the cotangent by its own taps, and
the phases are interleaved. No zeros are inserted and multiplied, as they are where a
transposed convolution is run as a dilated one.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from xattr.program._convolution import Convolution, direct

Convolve = Callable[[Any, Any, Convolution], Any]

# Phases of few channels are computed as one convolution: products of few columns are
# slow.
_FEW = 8


def transposed(
    convolve: Convolve, cotangent: Any, kernel: Any, like: Any, conv: Convolution
) -> Any:
    """Cotangent of the images, which are `like` this; by `convolve`."""
    channels = like.shape[3]
    depthwise = conv.groups == channels == kernel.shape[3] != 1
    strided = set(conv.strides) != {1}
    if not (depthwise or conv.groups == 1) or (strided and set(conv.dilation) != {1}):
        linear = jax.linear_transpose(lambda x: direct(x, kernel, conv), like)
        return linear(cotangent)[0]
    # A swap written into the convolution costs no copy of the kernel.
    back = conv if depthwise else conv.swapped()
    first = [before // step for step, (before, _) in zip(*_windows(conv), strict=True)]
    counts = [
        -(-(before + size) // step) - start
        for step, (before, _), size, start in zip(
            *_windows(conv), like.shape[1:3], first, strict=True
        )
    ]

    def phase(taps: Any) -> Any:
        lows = [
            (size - 1) * apart - start
            for size, apart, start in zip(
                taps.shape, conv.dilation, first, strict=False
            )
        ]
        highs = [
            count + start - size
            for count, start, size in zip(
                counts, first, cotangent.shape[1:3], strict=True
            )
        ]
        part, padding = _cropped(cotangent, list(zip(lows, highs, strict=True)))
        step = back._replace(strides=(1, 1), padding=padding)
        return convolve(part, taps[::-1, ::-1], step)

    shape = (len(cotangent), *counts, channels)
    if not depthwise and channels <= _FEW and strided:
        together = phase(_together(kernel, conv.strides, back.axes[1][0]))
        whole = _apart(together, shape, conv.strides)
    else:
        grid = itertools.product(*map(range, conv.strides))
        taps = [kernel[i :: conv.strides[0], j :: conv.strides[1]] for i, j in grid]
        empty = jnp.zeros(shape, cotangent.dtype)
        phases = [phase(each) if each.size else empty for each in taps]
        whole = _interleaved(phases, shape, conv.strides)
    starts = [
        before - step * start
        for step, (before, _), start in zip(*_windows(conv), first, strict=True)
    ]
    rows, columns = (
        slice(start, start + size)
        for start, size in zip(starts, like.shape[1:3], strict=True)
    )
    return whole[:, rows, columns]


def _windows(conv: Convolution) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
    return conv.strides, conv.padding


def _cropped(
    images: Any, padding: Sequence[tuple[int, int]]
) -> tuple[Any, tuple[tuple[int, int], ...]]:
    """Images without what negative padding takes off, and the padding that is left."""
    crop = [(min(low, 0), min(high, 0), 0) for low, high in padding]
    zero = jnp.zeros((), images.dtype)
    kept = jax.lax.pad(images, zero, [(0, 0, 0), *crop, (0, 0, 0)])
    return kept, tuple((max(low, 0), max(high, 0)) for low, high in padding)


def _together(kernel: Any, strides: Sequence[int], outputs: int) -> Any:
    """Kernels of all phases as one, the shorter ones with zeros at their ends.

    Not phase by phase: the patches of a transformer have a thousand.
    """
    rows, columns = (
        -(-size // step) for size, step in zip(kernel.shape, strides, strict=False)
    )
    ends = (rows * strides[0], columns * strides[1])
    missing = [(0, end - size) for end, size in zip(ends, kernel.shape, strict=False)]
    wide = jnp.pad(kernel, [*missing, (0, 0), (0, 0)])
    others = kernel.shape[2:]
    parts = wide.reshape(rows, strides[0], columns, strides[1], *others)
    order = (0, 2, 1, 3, 4, 5) if outputs == 2 else (0, 2, 4, 1, 3, 5)
    shape = list(others)
    shape[outputs - 2] *= strides[0] * strides[1]
    return parts.transpose(order).reshape(rows, columns, *shape)


def _apart(together: Any, shape: Sequence[int], strides: Sequence[int]) -> Any:
    """Phases that are channels, where they belong."""
    n, rows, columns, channels = shape
    parts = together.reshape(n, rows, columns, *strides, channels)
    whole = parts.transpose(0, 1, 3, 2, 4, 5)
    return whole.reshape(n, rows * strides[0], columns * strides[1], channels)


def _interleaved(
    phases: Sequence[Any], shape: Sequence[int], strides: Sequence[int]
) -> Any:
    if len(phases) == 1:
        return phases[0]
    n, rows, columns, channels = shape
    # `n i j c` of each phase; phases of one row stand side by side, then the rows.
    lines = [
        jnp.stack(phases[i * strides[1] : (i + 1) * strides[1]], axis=3)
        for i in range(strides[0])
    ]
    whole = jnp.stack(lines, axis=2)
    return whole.reshape(n, rows * strides[0], columns * strides[1], channels)
