"""Maximum pooling by shifted maxima, whose gradient is found by comparison."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Pooling(NamedTuple):
    """Windows of a maximum pooling over images `n h w c`."""

    taps: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]


def max_pool(images: Any, pooling: Pooling) -> Any:
    """The maxima; the derivative goes to the first of several in row-major order."""

    # One call inside, whose name says what it is to those who read the program.
    @jax.custom_jvp
    @jax.jit
    def max_pool(images: Any) -> Any:
        return _maxima(_maxima(images, pooling, 0), pooling, 1)

    @max_pool.defjvp
    def _(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
        (images,), (changes,) = primals, tangents
        maxima = max_pool(images)
        chosen = jnp.zeros_like(maxima)
        free = jnp.ones(maxima.shape, bool)
        size = maxima.shape[1:3]
        for entry, change in zip(
            _shifted(images, pooling, size, -np.inf),
            _shifted(changes, pooling, size, 0.0),
            strict=True,
        ):
            first = free & (entry == maxima)
            chosen = chosen + jnp.where(first, change, 0)
            free = free & ~first
        return maxima, chosen

    return max_pool(images)


def _maxima(images: Any, pooling: Pooling, axis: int) -> Any:
    """The maxima along rows (0) or columns (1): sweeps are far faster than windows.

    Those of a rectangle are the maxima along one axis of those along the other.
    """
    taps, step = pooling.taps[axis], pooling.strides[axis]
    edges = [(0, 0)] * 4
    edges[1 + axis] = pooling.padding[axis]
    padded = jnp.pad(images, edges, constant_values=-np.inf)
    reach = (padded.shape[1 + axis] - taps) // step * step + 1
    cut = functools.partial(jax.lax.slice_in_dim, padded, stride=step, axis=1 + axis)
    return functools.reduce(jnp.maximum, (cut(i, i + reach) for i in range(taps)))


def _shifted(
    images: Any, pooling: Pooling, size: Sequence[int], fill: float
) -> list[Any]:
    """The entry of every window at each of its taps, in row-major order.

    By way of the phases of the stride: taken apart by `split`, whose transpose is a
    concatenation, they need no scattered sum when this is differentiated.
    """
    steps = pooling.strides
    reach = [-(-tap // step) - 1 for tap, step in zip(pooling.taps, steps, strict=True)]
    ends = [
        (count + more) * step - low - length
        for count, more, step, (low, _), length in zip(
            size, reach, steps, pooling.padding, images.shape[1:3], strict=True
        )
    ]
    edges = [(low, end, 0) for (low, _), end in zip(pooling.padding, ends, strict=True)]
    value = jnp.array(fill, images.dtype)
    padded = jax.lax.pad(images, value, [(0, 0, 0), *edges, (0, 0, 0)])
    n, _, _, channels = padded.shape
    rows, columns = (count + more for count, more in zip(size, reach, strict=True))
    apart = padded.reshape(n, rows, steps[0], columns, steps[1], channels)
    phases = [
        [part[:, :, 0, :, 0] for part in _pieces(line, 4)] for line in _pieces(apart, 2)
    ]
    return [
        phases[i % steps[0]][j % steps[1]][
            :,
            i // steps[0] : i // steps[0] + size[0],
            j // steps[1] : j // steps[1] + size[1],
        ]
        for i, j in itertools.product(*map(range, pooling.taps))
    ]


def _pieces(array: Any, axis: int) -> Sequence[Any]:
    return jax.lax.split(array, [1] * array.shape[axis], axis)
