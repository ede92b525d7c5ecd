"""Occlusion with loops over positions and pixels, from its description."""

from collections.abc import Callable

import numpy as np


def occlusion(
    score: Callable[[np.ndarray], float],
    image: np.ndarray,
    window: tuple[int, int],
    stride: tuple[int, int],
    fill: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean drop per pixel of one image `h w c`, and the score at every position."""
    height, width, _ = image.shape
    tops, lefts = (
        starts(height, window[0], stride[0]),
        starts(width, window[1], stride[1]),
    )
    total, count = np.zeros((height, width)), np.zeros((height, width))
    whole, scores = score(image), np.zeros((len(tops), len(lefts)))
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            changed = image.copy()
            for y in range(top, min(top + window[0], height)):
                for x in range(left, min(left + window[1], width)):
                    changed[y, x] = fill[y, x]
            scores[i, j] = score(changed)
            for y in range(top, min(top + window[0], height)):
                for x in range(left, min(left + window[1], width)):
                    total[y, x] += whole - scores[i, j]
                    count[y, x] += 1
    return np.where(count > 0, total / np.maximum(count, 1), 0), scores


def starts(size: int, window: int, stride: int) -> list[int]:
    """First pixels: on until one window reaches the border, or none begins inside."""
    found = [0]
    while found[-1] + window < size and found[-1] + stride < size:
        found.append(found[-1] + stride)
    return found
