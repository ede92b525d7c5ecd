"""Where a node looks for its part: a window around where it is expected."""

from math import floor, pi, sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

BINS = 6


class Windows(NamedTuple):
    """Square grids of candidates, `BINS` by `BINS`, one for each node.

    Attributes:
      middles: the cell in the middle of each window (row, column).
      radii: from there to the window's border, in cells.
    """

    middles: Float[Array, "d n 2"]
    radii: Int[Array, "d n"]

    @property
    def units(self) -> Float[Array, "d n"]:
        """Distance between neighbouring candidates."""
        return 2 * self.radii.astype(self.middles.dtype) / BINS

    def offsets(self) -> Float[Array, "d n b"]:
        """Where candidates are from the window's middle, along either axis."""
        middle = jnp.arange(BINS) - (BINS - 1) / 2
        steps = middle.astype(self.middles.dtype)
        return steps[None, None] * self.units[..., None]


def windows(
    centers: Float[Array, "d n 2"], scales: Float[Array, "d n"], side: float
) -> Windows:
    """Windows around the nearest cells, wider for nodes that stray further."""
    half = jnp.minimum(0.3 * side / 2, 3 * scales)
    radii = jnp.clip(jnp.floor(half + 0.5), 1, largest_radius(side)).astype(int)
    return Windows(jnp.floor(centers + 0.5), radii)


def largest_radius(side: float) -> int:
    """Of a window on a map of that side."""
    return max(1, floor(0.3 * side / 2 + 0.5))


def spread(
    mass: Float[Array, "d h w"], found: Windows, side: float
) -> Float[Array, "d n b b"]:
    """Activation near each candidate: of the window's cells, weighted by nearness."""
    most = largest_radius(side)
    seen = _cut(mass, found.middles.astype(int), most)
    d, n = found.radii.shape

    def of_radius(radius: int) -> Float[Array, "d n c"]:
        def compute() -> Float[Array, "d n c"]:
            inner = seen[..., most - radius : most + radius + 1, :]
            inner = inner[..., most - radius : most + radius + 1]
            kernel = jnp.asarray(_kernel(radius, 0.025 * side), mass.dtype)
            flat = inner.reshape(d * n, -1) @ kernel
            return flat.reshape(d, n, -1)

        def nothing() -> Float[Array, "d n c"]:
            return jnp.zeros((d, n, BINS * BINS), mass.dtype)

        return jax.lax.cond((found.radii == radius).any(), compute, nothing)

    total = of_radius(most)
    for radius in range(1, most):
        own = (found.radii == radius)[..., None]
        total = jnp.where(own, of_radius(radius), total)
    return total.reshape(d, n, BINS, BINS)


def _cut(
    mass: Float[Array, "d h w"], middles: Int[Array, "d n 2"], radius: int
) -> Float[Array, "d n s s"]:
    """What windows show; zero beyond the map."""
    size = 2 * radius + 1
    padded = jnp.pad(mass, ((0, 0), (size, size), (size, size)))
    # Windows that are wholly beyond the map see zeros wherever they are.
    ends = jnp.array(mass.shape[1:])[None, None] + size
    first = jnp.clip(middles - radius + size, 0, ends)

    def window(plane: Float[Array, "h w"], start: Int[Array, " 2"]):
        return jax.lax.dynamic_slice(plane, (start[0], start[1]), (size, size))

    return jax.vmap(jax.vmap(window, (None, 0)))(padded, first)


def _kernel(radius: int, stddev: float) -> Float[np.ndarray, "s c"]:
    """Weight of each cell of a window for each candidate."""
    cells = np.arange(-radius, radius + 1.0)
    bins = (np.arange(BINS) - (BINS - 1) / 2) * 2 * radius / BINS
    apart = (cells[:, None] - bins) ** 2
    square = apart[:, None, :, None] + apart[None, :, None, :]
    distance = np.minimum(np.sqrt(square), 3 * stddev)
    near = np.exp(-(distance**2) / (2 * stddev**2)) / (sqrt(2 * pi) * stddev)
    return near.reshape(cells.size**2, BINS * BINS)
