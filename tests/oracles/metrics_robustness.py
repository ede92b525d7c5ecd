"""What noise does to the map of one image, sample by sample, with given noise."""

import math
from collections.abc import Callable, Iterable

import numpy as np

Explain = Callable[[np.ndarray], np.ndarray]


def length(x: np.ndarray) -> float:
    return math.sqrt(sum(v * v for v in x.ravel().tolist()))


def changes(
    explain: Explain, image: np.ndarray, noise: Iterable[np.ndarray], relative: bool
) -> list[float]:
    clean = explain(image)
    by = length(clean) if relative else 1.0
    return [length(explain(image + e) - clean) / by for e in noise]


def slopes(
    explain: Explain, image: np.ndarray, noise: Iterable[np.ndarray]
) -> list[float]:
    clean = explain(image)
    return [length(explain(image + e) - clean) / length(e) for e in noise]
