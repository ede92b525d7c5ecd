"""Opti-CAM of a small network, with derivatives written by hand."""

import numpy as np

from tests.oracles.adam import adam
from tests.oracles.network import Network, bilinear


def opti_cam(
    network: Network,
    image: np.ndarray,
    target: int,
    fill: np.ndarray,
    num_steps: int,
    learning_rate: float,
) -> tuple[np.ndarray, list[float]]:
    """The map of one image, and the score of the masked image before each step."""
    channels = network.channels(image)
    rows, columns = (bilinear(n, 2 * n) for n in channels.shape[:2])
    scores = []

    def gradient(u: np.ndarray) -> np.ndarray:
        weights = softmax(u)
        large = rows @ (channels @ weights) @ columns.T
        low, high = large.min(), large.max()
        mask = (large - low) / (high - low)
        masked = mask[..., None] * image + (1 - mask[..., None]) * fill
        scores.append(network.score(masked, target))
        by_mask = (network.gradient(masked, target) * (image - fill)).sum(-1)
        by_large = by_mask / (high - low)
        # The extremes move the scale of all the others.
        by_high = -(by_mask * mask).sum() / (high - low)
        by_low = -(by_mask * (1 - mask)).sum() / (high - low)
        by_large[np.unravel_index(large.argmax(), large.shape)] += by_high
        by_large[np.unravel_index(large.argmin(), large.shape)] += by_low
        by_weights = np.einsum("ij,ijd->d", rows.T @ by_large @ columns, channels)
        return -weights * (by_weights - by_weights @ weights)

    start = np.full(channels.shape[2], 0.5)
    found = adam(gradient, start, num_steps, learning_rate)
    return channels @ softmax(found), scores


def softmax(u: np.ndarray) -> np.ndarray:
    """Positive numbers that sum to 1."""
    return np.exp(u) / np.exp(u).sum()
