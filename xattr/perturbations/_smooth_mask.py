"""Masks that are smooth by construction: the largest of the bumps around each pixel."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# How close the soft maximum is to the true one.
_COLDNESS = 20.0

Cells = Float[Array, "n i j"]
Frame = Float[Array, "n y x"]


class SmoothMask(NamedTuple):
    """How a mask of pixels is made of one height per cell.

    A pixel's value is the soft maximum of the bumps near it: height times a kernel that
    is flat up to half the reach, and falls like a Gaussian from there.

    Attributes:
      size: of the image.
      cell_size: pixels from one bump to the next.
      reach: scale of a bump, in pixels.
    """

    size: tuple[int, int]
    cell_size: int
    reach: int

    @property
    def cells(self) -> tuple[int, int]:
        """How many heights there are, row by row."""
        height, width = self.size
        return -(-height // self.cell_size), -(-width // self.cell_size)

    def frame(self, heights: Cells) -> Frame:
        """The mask on the image and on a margin, so that bumps at the border count."""
        num = self._margin + 1
        edge = (self._margin + num,) * 2
        near = _neighbors(jnp.pad(heights, ((0, 0), edge, edge)), 2 * num + 1)
        kernels = jnp.asarray(_kernels(self.cell_size, num, self.reach), heights.dtype)

        # Its values are cheaper to compute again than to keep for the derivative.
        @jax.checkpoint
        def bump(height: Array, kernel: Array) -> tuple[Array, Array]:
            value = height[:, None, None] * kernel[None, :, :, None, None]
            weight = jnp.exp(_COLDNESS * value)
            return value * weight, weight

        def add(sums, one):
            return jax.tree.map(jnp.add, sums, bump(*one)), None

        zeros = jax.tree.map(jnp.zeros_like, bump(near[0], kernels[0]))
        sums, _ = jax.lax.scan(add, zeros, (near, kernels), unroll=2 * num + 1)
        return self._pixels(sums[0] / sums[1])

    def inside(self, frame: Frame) -> Float[Array, "n h w"]:
        """The part of the frame that is the image."""
        begin = self._margin * self.cell_size
        height, width = self.size
        return frame[:, begin : begin + height, begin : begin + width]

    @property
    def _margin(self) -> int:
        """Cells beyond the border that a bump reaches."""
        return -(-self.reach // self.cell_size)

    def _pixels(self, squares: Float[Array, "n r q i j"]) -> Frame:
        """Squares of pixels put together, up to the margin of the last bump."""
        n, r, q, i, j = squares.shape
        rows = squares.transpose(0, 3, 1, 4, 2).reshape(n, i * r, j, q)
        frame = rows.reshape(n, i * r, j * q)
        return frame[:, : (i - 1) * r + 1, : (j - 1) * q + 1]


def _neighbors(padded: Cells, count: int) -> Float[Array, "m n i j"]:
    """Of each cell, those of a square around it, row by row."""
    rows, columns = (size - count + 1 for size in padded.shape[1:])
    return jnp.stack(
        [
            padded[:, y : y + rows, x : x + columns]
            for y in range(count)
            for x in range(count)
        ]
    )


def _kernels(
    cell_size: int, num: int, reach: int
) -> Float[np.ndarray, "m cell_size cell_size"]:
    """What the bump of each neighbor is at each pixel of a cell."""
    centers = cell_size * np.arange(-num, num + 1)
    square = (np.arange(cell_size) - centers[:, None]) ** 2
    distance = np.sqrt(square[:, None, :, None] + square[None, :, None, :]) / reach
    kernels = np.exp(-2 * np.maximum(distance - 0.5, 0) ** 2)
    return kernels.reshape(-1, cell_size, cell_size)
