"""FullGrad of a small network whose derivative is written by hand."""

from typing import NamedTuple

import numpy as np

from tests.oracles.network import bilinear


class Network(NamedTuple):
    """Two 1x1 convolutions with ReLUs, 2x2 means between them, a mean and a head."""

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray
    head: np.ndarray
    head_bias: np.ndarray

    def terms(self, image: np.ndarray, target: int) -> list[np.ndarray]:
        """Of the image, of both convolutions, and of the head."""
        h, w, _ = image.shape
        before = image @ self.first + self.first_bias
        relu = np.maximum(before, 0)
        pooled = relu.reshape(h // 2, 2, w // 2, 2, -1).mean((1, 3))
        above = pooled @ self.second + self.second_bias
        cells = h * w // 4
        slope_above = (above > 0) * self.head[:, target] / cells
        slope_pooled = slope_above @ self.second.T
        slope_relu = np.kron(slope_pooled, np.ones((2, 2, 1))) / 4
        slope_before = slope_relu * (before > 0)
        return [
            image * (slope_before @ self.first.T),
            slope_before * self.first_bias,
            slope_above * self.second_bias,
            self.head_bias[target],
        ]

    def score(self, image: np.ndarray, target: int) -> float:
        """The logit."""
        h, w, _ = image.shape
        relu = np.maximum(image @ self.first + self.first_bias, 0)
        pooled = relu.reshape(h // 2, 2, w // 2, 2, -1).mean((1, 3))
        top = np.maximum(pooled @ self.second + self.second_bias, 0)
        return float(top.mean((0, 1)) @ self.head[:, target] + self.head_bias[target])

    def full_grad(self, image: np.ndarray, target: int) -> np.ndarray:
        """The map, one channel after the other."""
        found = np.zeros(image.shape[:2])
        for term in self.terms(image, target)[:3]:
            sizes = np.abs(term)
            scaled = (sizes - sizes.min()) / (sizes.max() - sizes.min())
            rows = bilinear(term.shape[0], image.shape[0])
            columns = bilinear(term.shape[1], image.shape[1])
            for channel in range(term.shape[2]):
                found += rows @ scaled[..., channel] @ columns.T
        return found
