"""Bilinear resizing of one map, restated with loops."""

import math

import numpy as np


def bilinear(field: np.ndarray, height: int, width: int) -> np.ndarray:
    """Half-pixel centres, coordinates clamped to the grid, no antialiasing."""
    rows, columns = field.shape
    out = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * rows / height - 0.5, 0.0), rows - 1.0)
            u = min(max((x + 0.5) * columns / width - 0.5, 0.0), columns - 1.0)
            top, left = math.floor(v), math.floor(u)
            low, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            a, b = v - top, u - left
            out[y, x] = (
                (1 - a) * (1 - b) * field[top, left]
                + (1 - a) * b * field[top, right]
                + a * (1 - b) * field[low, left]
                + a * b * field[low, right]
            )
    return out
