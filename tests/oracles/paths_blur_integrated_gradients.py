"""Blur integrated gradients with scipy's Gaussian filter, one step after another."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    if sigma == 0:
        return image
    return gaussian_filter(
        image, sigma=(sigma, sigma, 0), mode="constant", truncate=9.0
    )


def blur_integrated_gradients(
    gradient: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    *,
    max_sigma: float,
    steps: int,
) -> np.ndarray:
    total = np.zeros_like(image)
    for step in range(steps):
        start = blurred(image, max_sigma * step / steps)
        end = blurred(image, max_sigma * (step + 1) / steps)
        total += gradient((start + end) / 2) * (start - end)
    return total


def published(
    gradient: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    *,
    max_sigma: float,
    steps: int,
    difference: float = 0.01,
) -> np.ndarray:
    """As the authors run it: difference quotients at the beginning of each step."""
    total = np.zeros_like(image)
    for step in range(steps):
        sigma = max_sigma * step / steps
        here, there = blurred(image, sigma), blurred(image, sigma + difference)
        total += gradient(here) * (there - here) / difference * max_sigma / steps
    return -total
