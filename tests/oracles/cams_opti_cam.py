"""Opti-CAM of a small network, with derivatives written by hand."""

import numpy as np

from tests.oracles.adam import adam


class Network:
    """Squares of 2 x 2 pixels averaged, a ReLU of a linear map, a mean, a head."""

    def __init__(self, kernel: np.ndarray, bias: np.ndarray, head: np.ndarray):
        self.kernel, self.bias, self.head = kernel, bias, head

    def channels(self, image: np.ndarray) -> np.ndarray:
        """The site, `i j d`."""
        return np.maximum(self.before(image), 0)

    def before(self, image: np.ndarray) -> np.ndarray:
        """What goes into the ReLU."""
        h, w, c = image.shape
        pooled = image.reshape(h // 2, 2, w // 2, 2, c).mean((1, 3))
        return pooled @ self.kernel + self.bias

    def score(self, image: np.ndarray, target: int) -> float:
        """The logit."""
        return float(self.channels(image).mean((0, 1)) @ self.head[:, target])

    def gradient(self, image: np.ndarray, target: int) -> np.ndarray:
        """The logit's derivative with respect to the image."""
        before = self.before(image)
        cells = (before > 0) * self.head[:, target] / before[..., 0].size
        return np.kron(cells @ self.kernel.T, np.ones((2, 2, 1))) / 4


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


def bilinear(size: int, wanted: int) -> np.ndarray:
    """What each of the wanted pixels takes of each cell along a line."""
    matrix = np.zeros((wanted, size))
    for y in range(wanted):
        place = min(max((y + 0.5) * size / wanted - 0.5, 0), size - 1)
        below = min(int(place), size - 2)
        matrix[y, below] = 1 - (place - below)
        matrix[y, below + 1] = place - below
    return matrix
