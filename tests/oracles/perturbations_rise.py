"""RISE and its masks with loops, from their description."""

import math
from collections.abc import Callable

import numpy as np


def mask(
    cells: np.ndarray, offsets: tuple[int, int], size: tuple[int, int], resize: str
) -> np.ndarray:
    """The whole enlarged grid, pixel by pixel, then the part of it that is used."""
    steps = [math.ceil(size[a] / cells.shape[a]) for a in (0, 1)]
    large = np.zeros([(cells.shape[a] + 1) * steps[a] for a in (0, 1)])
    for y in range(large.shape[0]):
        for x in range(large.shape[1]):
            rows, columns = (
                shares((v + 0.5) * n / total - 0.5, n, resize)
                for v, n, total in zip((y, x), cells.shape, large.shape, strict=True)
            )
            for i, a in rows:
                for j, b in columns:
                    large[y, x] += a * b * cells[i, j]
    top, left = offsets
    return large[top : top + size[0], left : left + size[1]]


def shares(place: float, n: int, resize: str) -> list[tuple[int, float]]:
    """Cells that a place between centers takes from, and how much of each."""
    if resize == "nearest":
        return [(math.floor(place + 0.5), 1.0)]
    low = math.floor(place)
    part = place - low
    return [(inside(low, n, resize), 1 - part), (inside(low + 1, n, resize), part)]


def inside(cell: int, n: int, resize: str) -> int:
    if n == 1:
        return 0
    if resize == "mirrored":
        return 1 if cell < 0 else n - 2 if cell >= n else cell
    return min(max(cell, 0), n - 1)


def rise(
    score: Callable[[np.ndarray], float],
    image: np.ndarray,
    masks: np.ndarray,
    fill: np.ndarray,
    keep: float,
) -> np.ndarray:
    """The map `h w` of one image `h w c` from masks that are given."""
    out = np.zeros(image.shape[:2])
    for m in masks:
        masked = np.zeros_like(image)
        for y in range(image.shape[0]):
            for x in range(image.shape[1]):
                masked[y, x] = m[y, x] * image[y, x] + (1 - m[y, x]) * fill[y, x]
        out += score(masked) * m
    return out / (len(masks) * keep)
