"""Resizing of photographs, written out slowly in NumPy."""

import numpy as np


def resize_and_cut(image: np.ndarray, size: int, resize: int) -> np.ndarray:
    """Whole image resized by an antialiased triangle filter, then its middle."""
    height, width = image.shape[:2]
    short = min(height, width)
    if height <= width:
        new_height, new_width = resize, int(resize * width / short)
    else:
        new_height, new_width = int(resize * height / short), resize
    columns = _filter(width, new_width)
    rows = _filter(height, new_height)
    middle = _whole(np.einsum("jw,hwc->hjc", columns, image.astype(np.float64)))
    whole = _whole(np.einsum("ih,hjc->ijc", rows, middle))
    top = int(round((new_height - size) / 2.0))
    left = int(round((new_width - size) / 2.0))
    return whole[top : top + size, left : left + size]


def _whole(values: np.ndarray) -> np.ndarray:
    """Nearest whole numbers, halves up: the picture between the passes is 8-bit."""
    return np.floor(values + 0.5 + 1e-9)


def _filter(length: int, new_length: int) -> np.ndarray:
    """Weights of a tent around each new pixel's middle, as wide as the scale asks."""
    scale = length / new_length
    width = max(scale, 1.0)
    weights = np.zeros((new_length, length))
    for i in range(new_length):
        middle = (i + 0.5) * scale
        for j in range(length):
            weights[i, j] = max(0.0, 1.0 - abs(j + 0.5 - middle) / width)
    return weights / weights.sum(axis=1, keepdims=True)
