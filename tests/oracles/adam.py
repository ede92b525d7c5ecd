"""Adam, from its description."""

from collections.abc import Callable

import numpy as np


def adam(
    gradient: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    num_steps: int,
    learning_rate: float,
    project: Callable[[np.ndarray], np.ndarray] = lambda x: x,
) -> np.ndarray:
    """Where it arrives, each step followed by a projection."""
    x = start.copy()
    first, second = np.zeros_like(x), np.zeros_like(x)
    for t in range(1, num_steps + 1):
        g = gradient(x)
        first = 0.9 * first + 0.1 * g
        second = 0.999 * second + 0.001 * g**2
        mean, square = first / (1 - 0.9**t), second / (1 - 0.999**t)
        x = project(x - learning_rate * mean / (np.sqrt(square) + 1e-8))
    return x
