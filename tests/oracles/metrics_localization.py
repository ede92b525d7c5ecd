"""Localization metrics of one image with loops over pixels, from their descriptions."""

import itertools
import math
from collections.abc import Sequence

import numpy as np

Box = tuple[float, float, float, float]


def pixels(mask: np.ndarray) -> list[tuple[int, int]]:
    return [(y, x) for y, x in np.argwhere(mask).tolist()]


def pointing_game(values: np.ndarray, mask: np.ndarray, tolerance: float) -> float:
    """Walks over the map for its first maximum, then over the object."""
    best = (0, 0)
    for p in itertools.product(*map(range, values.shape)):
        if values[p] > values[best]:
            best = p
    near = [u for u in pixels(mask) if math.dist(u, best) < tolerance or u == best]
    return float(bool(near))


def mass(values: np.ndarray, mask: np.ndarray) -> float:
    return sum(values[u] for u in pixels(mask)) / sum(values.ravel().tolist())


def top_k(values: np.ndarray, mask: np.ndarray, k: int) -> float:
    """Share of the k largest; no two values may be the same."""
    places = itertools.product(*map(range, values.shape))
    ranked = sorted(places, key=lambda u: -values[u])
    return sum(bool(mask[u]) for u in ranked[:k]) / k


def iou(found: np.ndarray, mask: np.ndarray) -> float:
    a, b = set(pixels(found)), set(pixels(mask))
    return len(a & b) / len(a | b)


def average_precision(values: np.ndarray, inside: np.ndarray) -> float:
    """Steps of recall times precision, from the highest threshold to the lowest."""
    values, inside = values.ravel(), inside.ravel()
    area, recall = 0.0, 0.0
    for threshold in sorted(set(values.tolist()), reverse=True):
        found = values >= threshold
        precision = (found & inside).sum() / found.sum()
        now = (found & inside).sum() / inside.sum()
        area, recall = area + precision * (now - recall), now
    return area


def parts(mask: np.ndarray, corners: bool) -> list[list[tuple[int, int]]]:
    """Connected parts, each flooded from its first pixel."""
    left, found = set(pixels(mask)), []
    while left:
        part, border = [], [left.pop()]
        while border:
            y, x = border.pop()
            part.append((y, x))
            for dy, dx in itertools.product((-1, 0, 1), repeat=2):
                if (corners or not dy * dx) and (y + dy, x + dx) in left:
                    left.remove((y + dy, x + dx))
                    border.append((y + dy, x + dx))
        found.append(part)
    return found


def contour_boxes(mask: np.ndarray) -> list[Box]:
    """Edges of the boxes around parts, and around the pixels that border on holes."""
    height, width = mask.shape
    found = []
    for part in parts(mask, corners=True):
        rows, columns = zip(*part, strict=True)
        found.append((min(columns), min(rows), max(columns) + 1, max(rows) + 1))
    for part in parts(~mask, corners=False):
        rows, columns = zip(*part, strict=True)
        outer = {0, height - 1} & set(rows) or {0, width - 1} & set(columns)
        if not outer:
            found.append(
                (min(columns) - 1, min(rows) - 1, max(columns) + 2, max(rows) + 2)
            )
    return found


def box_overlap(
    values: np.ndarray, boxes: Sequence[Box], threshold: float, authors: bool
) -> float:
    """The best overlap at one threshold."""
    height, width = values.shape
    low, high = values.min(), values.max()
    level = ((values - low) / (high - low) * 255).astype(int)
    best = 0.0
    for x0, y0, x1, y1 in contour_boxes(level > int(threshold * 255)):
        if authors:
            x1, y1 = min(x1, width - 1), min(y1, height - 1)
        for a0, b0, a1, b1 in boxes:
            extra = 1 if authors else 0
            w = max(0, min(x1, a1) - max(x0, a0) + extra)
            h = max(0, min(y1, b1) - max(y0, b0) + extra)
            first = (x1 - x0 + extra) * (y1 - y0 + extra)
            second = (a1 - a0 + extra) * (b1 - b0 + extra)
            best = max(best, w * h / (first + second - w * h))
    return best
