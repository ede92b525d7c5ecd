"""A decoder's losses with loops, from their descriptions: one image at a time.

A mask is `h w`, logits are `k`, all in float64.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class One(NamedTuple):
    """One image's mask, logits and target."""

    mask: np.ndarray
    clean: np.ndarray
    kept: np.ndarray
    hidden: np.ndarray
    target: int


def probabilities(logits: np.ndarray) -> list[float]:
    """Softmax."""
    powers = [math.exp(z) for z in logits]
    return [power / sum(powers) for power in powers]


def best(logits: np.ndarray) -> int:
    """The first of the classes with the highest logit."""
    return max(range(len(logits)), key=lambda k: (logits[k], -k))


def best_other(logits: np.ndarray, target: int) -> float:
    """The highest logit but the target's."""
    return max(z for k, z in enumerate(logits) if k != target)


def entropy(logits: np.ndarray) -> float:
    """Of the softmax, in nats."""
    return -sum(p * math.log(p) for p in probabilities(logits))


def cross_entropy(one: One) -> float:
    """On what is kept."""
    return -math.log(probabilities(one.kept)[one.target])


def divergence(one: One) -> float:
    """Kullback and Leibler's, of what is kept from the image."""
    pairs = zip(probabilities(one.clean), probabilities(one.kept), strict=True)
    return sum(p * math.log(p / q) for p, q in pairs)


def score_drop(one: One) -> float:
    """Loss of the logit, as a share of it."""
    z = one.clean[one.target]
    return max(0.0, z - one.kept[one.target]) / (abs(z) + 1)


def hidden_entropy(one: One) -> float:
    """Of right answers only, as a share of the highest possible, negative."""
    if best(one.clean) != one.target:
        return 0.0
    return -entropy(one.hidden) / math.log(len(one.hidden))


def hidden_cross_entropy(one: One) -> float:
    """Negative, on what is left."""
    return math.log(probabilities(one.hidden)[one.target])


def preserver(one: One) -> float:
    """The target has to lead by 1."""
    lead = one.kept[one.target] - best_other(one.kept, one.target)
    return max(0.0, 1 - lead)


def destroyer(one: One) -> float:
    """The target has to lag by 5."""
    lead = one.hidden[one.target] - best_other(one.hidden, one.target)
    return max(0.0, 5 + lead)


def confused_area(one: One) -> float:
    """Right when clean, wrong when what is kept is hidden."""
    right, still = best(one.clean) == one.target, best(one.hidden) == one.target
    return -max(0.0, float(right and not still) - area(one))


def kept_area(one: One) -> float:
    """Right on what is kept."""
    return -max(0.0, float(best(one.kept) == one.target) - area(one))


def area(one: One) -> float:
    """Mean of the mask."""
    h, w = one.mask.shape
    return sum(one.mask[i, j] for i in range(h) for j in range(w)) / (h * w)


def target_area(target: float) -> Callable[[One], float]:
    """Square of what is too much."""
    return lambda one: 100 * max(0.0, area(one) - target) ** 2


def area_power(one: One) -> float:
    """Mean of a power."""
    return sum((m + 0.0005) ** 0.3 for m in one.mask.flat) / one.mask.size


def steps(mask: np.ndarray) -> list[float]:
    """Differences of neighbors."""
    h, w = mask.shape
    down = [mask[i + 1, j] - mask[i, j] for i in range(h - 1) for j in range(w)]
    across = [mask[i, j + 1] - mask[i, j] for i in range(h) for j in range(w - 1)]
    return down + across


def total_variation(one: One) -> float:
    """Absolute differences, per pixel."""
    return sum(abs(step) for step in steps(one.mask)) / one.mask.size


def smoothness(one: One) -> float:
    """Squared differences, and squares at the border, corners twice."""
    h, w = one.mask.shape
    border = sum(one.mask[0, j] ** 2 + one.mask[h - 1, j] ** 2 for j in range(w))
    border += sum(one.mask[i, 0] ** 2 + one.mask[i, w - 1] ** 2 for i in range(h))
    return (sum(step**2 for step in steps(one.mask)) + 0.3 * border) / 2


def binary(one: One) -> float:
    """Mean variance of a coin."""
    return sum(m * (1 - m) for m in one.mask.flat) / one.mask.size


def compactness(one: One) -> float:
    """Mean squared distance from the center of mass, by the image's diagonal."""
    h, w = one.mask.shape
    places = [(one.mask[i, j], i, j) for i in range(h) for j in range(w)]
    mass = sum(m for m, _, _ in places)
    row = sum(m * i for m, i, _ in places) / mass
    column = sum(m * j for m, _, j in places) / mass
    moment = sum(m * ((i - row) ** 2 + (j - column) ** 2) for m, i, j in places)
    return moment / (mass * (h**2 + w**2))


def sparsity(one: One) -> float:
    """From Hoyer's sparseness, 1 for a single pixel and 0 for equal ones."""
    root = math.sqrt(one.mask.size)
    ratio = sum(one.mask.flat) / math.sqrt(sum(m**2 for m in one.mask.flat))
    sparseness = (root - ratio) / (root - 1)
    return 1 - sparseness * (root - 1) / root


TERMS: dict[str, Callable[[One], float]] = {
    "cross_entropy": cross_entropy,
    "divergence": divergence,
    "score_drop": score_drop,
    "hidden_entropy": hidden_entropy,
    "hidden_cross_entropy": hidden_cross_entropy,
    "preserver": preserver,
    "destroyer": destroyer,
    "confused_area": confused_area,
    "kept_area": kept_area,
    "area": area,
    "target_area_10": target_area(0.1),
    "target_area_20": target_area(0.2),
    "target_area_30": target_area(0.3),
    "target_area_40": target_area(0.4),
    "area_power": area_power,
    "total_variation": total_variation,
    "smoothness": smoothness,
    "binary": binary,
    "compactness": compactness,
    "sparsity": sparsity,
}
