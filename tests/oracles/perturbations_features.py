"""Features switched on and off, with loops over coalitions, orders and samples.

A game is a function from a tuple of booleans (or numbers from 0 to 1), one per feature,
to a score.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

Game = Callable[[Sequence[float]], float]


def cells(size: tuple[int, int], grid: tuple[int, int]) -> np.ndarray:
    """The cell of each pixel, by its center."""
    owner = np.zeros(size, int)
    for y in range(size[0]):
        for x in range(size[1]):
            row = math.floor((y + 0.5) / (size[0] / grid[0]))
            column = math.floor((x + 0.5) / (size[1] / grid[1]))
            owner[y, x] = row * grid[1] + column
    return owner


def game(
    score: Callable[[np.ndarray], float],
    image: np.ndarray,
    fill: np.ndarray,
    owner: np.ndarray,
) -> Game:
    """The score of an image with each feature mixed with the fill."""

    @functools.cache
    def play(on: tuple[float, ...]) -> float:
        mixed = image.copy()
        for place in np.ndindex(*owner.shape):
            if owner[place] < len(on):
                share = on[owner[place]]
                mixed[place] = share * image[place] + (1 - share) * fill[place]
        return score(mixed)

    return lambda on: play(tuple(map(float, on)))


def ablation(play: Game, num: int) -> np.ndarray:
    full = play([1.0] * num)
    return np.array(
        [full - play([float(i != j) for i in range(num)]) for j in range(num)]
    )


def shapley(play: Game, num: int) -> np.ndarray:
    """By the definition: the mean over all orders."""
    values = np.zeros(num)
    orders = list(itertools.permutations(range(num)))
    for order in orders:
        values += along(play, order)
    return values / len(orders)


def along(play: Game, order: Sequence[int]) -> np.ndarray:
    """What each feature adds when they are added in this order."""
    on, gains = [0.0] * len(order), np.zeros(len(order))
    before = play(on)
    for feature in order:
        on[feature] = 1.0
        after = play(on)
        gains[feature], before = after - before, after
    return gains


def kernel_shap(scores: Sequence[float], coalitions: np.ndarray, ends) -> np.ndarray:
    """The fit to drawn coalitions, its last value eliminated by the constraint."""
    rows, sides = [], []
    for value, z in zip(scores, coalitions.astype(float), strict=True):
        rows.append(z[:-1] - z[-1])
        sides.append(value - ends[0] - z[-1] * (ends[1] - ends[0]))
    found, *_ = np.linalg.lstsq(np.array(rows), np.array(sides), rcond=None)
    return np.append(found, ends[1] - ends[0] - found.sum())


def lime(
    scores: Sequence[float], coalitions: np.ndarray, width: float, alpha: float
) -> np.ndarray:
    """Ridge regression as ordinary least squares with rows added for the penalty."""
    rows, sides = [], []
    count = coalitions.shape[1]
    for value, z in zip(scores, coalitions.astype(float), strict=True):
        norms = np.linalg.norm(z) * np.sqrt(count)
        distance = 1 - (z.sum() / norms if norms else 0)
        root = math.exp(-((distance / width) ** 2) / 4)
        rows.append(root * np.append(z, 1))
        sides.append(root * value)
    for feature in range(count):
        rows.append(math.sqrt(alpha) * np.eye(count + 1)[feature])
        sides.append(0.0)
    return np.linalg.lstsq(np.array(rows), np.array(sides), rcond=None)[0][:-1]


def sobol(play: Game, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Jansen's total-order indices from two designs."""
    num, count = a.shape
    base = [play(row) for row in a]
    mean = sum(base) / num
    variance = sum((y - mean) ** 2 for y in base) / (num - 1)
    found = np.zeros(count)
    for feature in range(count):
        for row, other, y in zip(a, b, base, strict=True):
            swapped = row.copy()
            swapped[feature] = other[feature]
            found[feature] += (y - play(swapped)) ** 2
    return found / (2 * num * variance)


def hsic(scores: Sequence[float], design: np.ndarray) -> np.ndarray:
    """The trace over centered kernel matrices."""
    num, count = design.shape
    pairs = list(itertools.combinations(range(num), 2))
    width = np.median([abs(scores[s] - scores[t]) for s, t in pairs])
    center = np.eye(num) - 1 / num
    outputs = np.array(
        [[math.exp(-((u - v) ** 2) / (2 * width**2)) for v in scores] for u in scores]
    )
    found = []
    for feature in range(count):
        z = design[:, feature].astype(float)
        inputs = 0.5 - (z[:, None] - z[None]) ** 2
        found.append(np.trace(inputs @ center @ outputs @ center) / num**2)
    return np.array(found)
