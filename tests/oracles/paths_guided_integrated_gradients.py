"""The algorithm of Kapishnikov et al. 2021 in values of pixels, as published code."""

from collections.abc import Callable

import numpy as np


def guided_integrated_gradients(
    gradient: Callable[[np.ndarray], np.ndarray],
    x_input: np.ndarray,
    x_baseline: np.ndarray,
    *,
    steps: int,
    fraction: float,
    max_dist: float,
) -> np.ndarray:
    way = x_input - x_baseline
    x = x_baseline.copy()
    total = np.abs(way).sum()
    result = np.zeros_like(x)
    if total == 0:
        return result
    for step in range(1, steps + 1):
        slope = gradient(x)
        low = x_baseline + max(step / steps - max_dist, 0.0) * way
        high = x_baseline + min(step / steps + max_dist, 1.0) * way
        target = total * (1 - step / steps)
        fixed = way == 0
        while True:
            before = x.copy()
            behind = ~fixed & (np.abs(x - x_baseline) < np.abs(low - x_baseline))
            x[behind] = low[behind]
            distance = np.abs(x - x_input).sum()
            if np.isclose(distance, target, rtol=1e-9, atol=1e-9):
                result += (x - before) * slope
                break
            arrived = fixed | (np.abs(x - high) < 1e-12)
            size = np.where(arrived, np.inf, np.abs(slope))
            threshold = np.sort(size.ravel())[int(np.floor(fraction * (size.size - 1)))]
            chosen = (size <= threshold) & ~arrived
            reach = np.abs(high - x)[chosen].sum()
            gamma = (distance - target) / reach if reach > 0 else np.inf
            x[chosen] += min(gamma, 1.0) * (high - x)[chosen]
            result += (x - before) * slope
            if gamma <= 1:
                break
    return result
