"""Faithfulness metrics with loops, from their descriptions: one image at a time."""

from collections.abc import Callable, Sequence

import numpy as np

Scalar = Callable[[np.ndarray], float]
SIDE, CORNER = 1 / 6, 1 / 12


def in_order(values: np.ndarray, largest_first: bool = True) -> list[tuple[int, int]]:
    """Cells of a map, equal ones in reading order; or all of that reversed."""
    cells = list(np.ndindex(values.shape))
    ordered = sorted(cells, key=lambda cell: -values[cell])
    return ordered if largest_first else ordered[::-1]


def exchanged(
    score: Scalar, start: np.ndarray, end: np.ndarray, values: np.ndarray, step: int
) -> list[float]:
    """Scores while pixels of `start` become those of `end`, `step` at a time."""
    image, scores = start.copy(), [score(start)]
    order = in_order(values)
    while order:
        for cell in order[:step]:
            image[cell] = end[cell]
        order = order[step:]
        scores.append(score(image))
    return scores


def area(scores: Sequence[float]) -> float:
    """Mean height of a curve of even steps."""
    return (sum(scores) - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1)


def regions(
    score: Scalar,
    image: np.ndarray,
    end: np.ndarray,
    values: np.ndarray,
    size: int,
    num: int,
    order: str,
) -> list[float]:
    """Scores while squares are replaced."""
    h, w = values.shape
    squares = [
        (slice(i, i + size), slice(j, j + size))
        for i in range(0, h, size)
        for j in range(0, w, size)
    ]
    sign = -1 if order == "morf" else 1
    squares.sort(key=lambda square: sign * values[square].sum())
    image, scores = image.copy(), [score(image)]
    for square in squares[:num]:
        image[square] = end[square]
        scores.append(score(image))
    return scores


def imputed(image: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Missing pixels as weighted means of their neighbors, by a dense system."""
    cells = [tuple(cell) for cell in np.argwhere(missing)]
    place = {cell: k for k, cell in enumerate(cells)}
    matrix = np.zeros((len(cells), len(cells)))
    right = np.zeros((len(cells), image.shape[2]))
    for (i, j), k in place.items():
        for a in range(max(i - 1, 0), min(i + 2, missing.shape[0])):
            for b in range(max(j - 1, 0), min(j + 2, missing.shape[1])):
                if (a, b) == (i, j):
                    continue
                weight = SIDE if a == i or b == j else CORNER
                matrix[k, k] += weight
                if (a, b) in place:
                    matrix[k, place[a, b]] -= weight
                else:
                    right[k] += weight * image[a, b]
    out = image.copy()
    out[missing] = np.linalg.solve(matrix, right)
    return out


def road(
    score: Scalar,
    image: np.ndarray,
    values: np.ndarray,
    fractions: Sequence[float],
    order: str,
) -> list[float]:
    """Scores of images without a share of their pixels; no noise."""
    scores = []
    for fraction in fractions:
        missing = np.zeros(values.shape, bool)
        count = round(fraction * values.size)
        for cell in in_order(values, order == "morf")[:count]:
            missing[cell] = True
        scores.append(score(imputed(image, missing)))
    return scores


def masked_scores(
    score: Scalar,
    image: np.ndarray,
    fill: np.ndarray,
    values: np.ndarray,
    mute: float = 0.0,
) -> tuple[float, float]:
    """Score of an image, and of what the map shows of it."""
    mask = (values - values.min()) / (values.max() - values.min())
    for cell in in_order(values)[values.size - round(mute * values.size) :]:
        mask[cell] = 0
    shown = mask[..., None] * image + (1 - mask[..., None]) * fill
    return score(image), score(shown)
