"""Ablation-CAM with a loop over channels, given what lies above the site."""

from collections.abc import Callable

import numpy as np

from tests.oracles.cams import by_weights


def ablation_cam(above: Callable[[np.ndarray], float], a: np.ndarray) -> np.ndarray:
    """The map `i j` before the ReLU of one image's activations `i j d`."""
    score = above(a)
    weights = np.zeros(a.shape[2])
    for d in range(a.shape[2]):
        without = a.copy()
        without[..., d] = 0
        weights[d] = (score - above(without)) / score
    return by_weights(a, weights)
