"""Integrated and expected gradients, one point after another."""

from collections.abc import Callable

import numpy as np

Gradient = Callable[[np.ndarray], np.ndarray]


def right_sum(gradient: Gradient, x: np.ndarray, b: np.ndarray, steps: int):
    """Equation 3 of the paper, with the right end of each step."""
    total = np.zeros_like(x)
    for k in range(1, steps + 1):
        total += gradient(b + k / steps * (x - b))
    return (x - b) * total / steps


def left_sum(gradient: Gradient, x: np.ndarray, b: np.ndarray, steps: int):
    """The same with the left end of each step."""
    total = np.zeros_like(x)
    for k in range(steps):
        total += gradient(b + k / steps * (x - b))
    return (x - b) * total / steps


def trapezoid_sum(gradient: Gradient, x: np.ndarray, b: np.ndarray, points: int):
    """Mean of the gradients at the ends of each of `points` - 1 steps."""
    total = np.zeros_like(x)
    for k in range(points - 1):
        ends = (b + j / (points - 1) * (x - b) for j in (k, k + 1))
        total += sum(gradient(end) for end in ends) / 2
    return (x - b) * total / (points - 1)


def midpoint_sum(gradient: Gradient, x: np.ndarray, b: np.ndarray, steps: int):
    """The gradient in the middle of each step."""
    total = np.zeros_like(x)
    for k in range(steps):
        total += gradient(b + (2 * k + 1) / (2 * steps) * (x - b))
    return (x - b) * total / steps
