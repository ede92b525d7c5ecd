"""Similarities of two maps with loops, from their definitions."""

import math

import numpy as np


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return pearson(ranks(a), ranks(b))


def ranks(x: np.ndarray) -> np.ndarray:
    """How many entries are below each, and half of the others that equal it."""
    flat = x.ravel()
    return np.array(
        [(flat < v).sum() + ((flat == v).sum() - 1) / 2 for v in flat], float
    )


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    return cosine(a.ravel() - a.mean(), b.ravel() - b.mean())


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    products = [u * v for u, v in zip(a.ravel(), b.ravel(), strict=True)]
    return sum(products) / math.sqrt((a**2).sum() * (b**2).sum())


def ssim(a: np.ndarray, b: np.ndarray, window: str) -> float:
    """Of maps `h w`, window by window."""
    size = 11 if window == "gaussian" else 7
    far = np.arange(size) - size // 2
    weights = np.ones((size, size))
    if window == "gaussian":
        weights = np.exp(-(far[:, None] ** 2 + far**2) / (2 * 1.5**2))
    weights = weights / weights.sum()
    unbiased = 1.0 if window == "gaussian" else size**2 / (size**2 - 1)
    extent = max(a.max(), b.max()) - min(a.min(), b.min())
    c1, c2 = (0.01 * extent) ** 2, (0.03 * extent) ** 2
    values = []
    for i in range(a.shape[0] - size + 1):
        for j in range(a.shape[1] - size + 1):
            u, v = a[i : i + size, j : j + size], b[i : i + size, j : j + size]
            mean_u, mean_v = (weights * u).sum(), (weights * v).sum()
            var_u = unbiased * (weights * (u - mean_u) ** 2).sum()
            var_v = unbiased * (weights * (v - mean_v) ** 2).sum()
            both = unbiased * (weights * (u - mean_u) * (v - mean_v)).sum()
            values.append(
                (2 * mean_u * mean_v + c1)
                * (2 * both + c2)
                / ((mean_u**2 + mean_v**2 + c1) * (var_u + var_v + c2))
            )
    return float(np.mean(values))


def hog(x: np.ndarray, orientations: int, cell: int, block: int) -> np.ndarray:
    """Histograms of a map `h w`, pixel by pixel and block by block."""
    x = x / np.abs(x).max()
    rows, columns = (size // cell for size in x.shape)
    cells = np.zeros((rows, columns, orientations))
    for i in range(rows * cell):
        for j in range(columns * cell):
            inside = (0 < i < x.shape[0] - 1, 0 < j < x.shape[1] - 1)
            down = x[i + 1, j] - x[i - 1, j] if inside[0] else 0.0
            right = x[i, j + 1] - x[i, j - 1] if inside[1] else 0.0
            degrees = math.degrees(math.atan2(down, right)) % 180
            place = min(int(degrees / (180 / orientations)), orientations - 1)
            cells[i // cell, j // cell, place] += math.hypot(down, right) / cell**2
    found = []
    for i in range(rows - block + 1):
        for j in range(columns - block + 1):
            v = cells[i : i + block, j : j + block].ravel()
            v = np.minimum(v / math.sqrt((v**2).sum() + 1e-10), 0.2)
            found.append(v / math.sqrt((v**2).sum() + 1e-10))
    return np.array(found)
