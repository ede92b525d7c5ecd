"""A small network whose derivative is written by hand, and matrices for masks."""

import numpy as np


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


def bilinear(size: int, wanted: int) -> np.ndarray:
    """What each of the wanted pixels takes of each cell along a line."""
    matrix = np.zeros((wanted, size))
    for y in range(wanted):
        place = min(max((y + 0.5) * size / wanted - 0.5, 0), size - 1)
        below = min(int(place), size - 2)
        matrix[y, below] = 1 - (place - below)
        matrix[y, below + 1] = place - below
    return matrix


def blur(size: int, stddev: float) -> np.ndarray:
    """What each pixel of a line takes of each, by a Gaussian cut at the borders."""
    if stddev == 0:
        return np.eye(size)
    place = np.arange(size)
    weights = np.exp(-((place[:, None] - place) ** 2) / (2 * stddev**2))
    return weights / weights.sum(1, keepdims=True)
