"""Metrics that compare maps with what removals do, with loops, from their papers."""

from collections.abc import Callable

import numpy as np

Score = Callable[[np.ndarray], float]


def sums_and_drops(
    score: Score,
    image: np.ndarray,
    values: np.ndarray,
    subsets: np.ndarray,
    fill: np.ndarray,
) -> tuple[list[float], list[float]]:
    """Of each subset `h w`, the sum of the map over it and the drop it causes."""
    sums, drops = [], []
    for subset in subsets:
        changed, total = image.copy(), 0.0
        for y, x in np.argwhere(subset):
            changed[y, x] = fill[y, x]
            total += values[y, x]
        sums.append(total)
        drops.append(score(image) - score(changed))
    return sums, drops


def pearson(a: list[float], b: list[float]) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    both = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    one = sum((x - mean_a) ** 2 for x in a) ** 0.5
    other = sum((y - mean_b) ** 2 for y in b) ** 0.5
    return both / (one * other)


def spearman(a: list[float], b: list[float]) -> float:
    return pearson(ranks(a), ranks(b))


def ranks(values: list[float]) -> list[float]:
    """Place in the order of all, the mean place among equals."""
    found = []
    for value in values:
        less = sum(other < value for other in values)
        equal = sum(other == value for other in values)
        found.append(less + (equal - 1) / 2)
    return found


def cells(taken: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels whose centers lie in the cells that are taken."""
    grid = taken.shape[0]
    found = np.zeros(size, bool)
    for y in range(size[0]):
        for x in range(size[1]):
            row = int((y + 0.5) * grid / size[0])
            column = int((x + 0.5) * grid / size[1])
            found[y, x] = taken[row, column]
    return found


def infidelity(
    score: Score,
    image: np.ndarray,
    values: np.ndarray,
    changed: np.ndarray,
    weights: np.ndarray,
    normalize: bool,
) -> float:
    """Mean squared error over the draws, the best multiple of the map searched for."""
    said = np.array([(w * values).sum() for w in weights])
    lost = np.array([score(image) - score(x) for x in changed])
    if normalize:
        said = said * np.linalg.lstsq(said[:, None], lost, rcond=None)[0][0]
    return float(((said - lost) ** 2).mean())


def gini(values: np.ndarray) -> float:
    """Half of the mean difference of all pairs, over the mean."""
    v = np.abs(values).ravel()
    pairs = [abs(a - b) for a in v for b in v]
    return float(np.mean(pairs) / (2 * v.mean()))


def entropy(values: np.ndarray) -> float:
    v = np.abs(values).ravel()
    return float(sum(-p * np.log(p) for p in v / v.sum() if p > 0))
