"""Segmentation with loops: a small network, its derivatives, and connected regions."""

import numpy as np


def dilated(x: np.ndarray, kernel: np.ndarray, dilation: int = 1) -> np.ndarray:
    """3x3 convolution of `h w c` that keeps the size."""
    height, width, _ = x.shape
    out = np.zeros((height, width, kernel.shape[3]))
    for i in range(height):
        for j in range(width):
            for u in range(3):
                for v in range(3):
                    y, z = i + (u - 1) * dilation, j + (v - 1) * dilation
                    if 0 <= y < height and 0 <= z < width:
                        out[i, j] += x[y, z] @ kernel[u, v]
    return out


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def normalized(x: np.ndarray, scale, bias, mean, var) -> np.ndarray:
    return (x - mean) / np.sqrt(var + 1e-3) * scale + bias


def pyramid(x: np.ndarray, reduce: np.ndarray, kernels: list[np.ndarray]) -> np.ndarray:
    """Reduced channels, filtered at five dilations; the wider ones summed up."""
    reduced = x @ reduce
    parts = [dilated(reduced, kernel, 2**power) for power, kernel in enumerate(kernels)]
    sums = [np.sum(parts[1 : last + 1], axis=0) for last in range(1, 5)]
    return np.concatenate([parts[0], *sums], axis=-1)


def doubled(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Each pixel painted as a 2x2 patch; weight is `in out 2 2`, as torch has it."""
    height, width, _ = x.shape
    out = np.zeros((2 * height, 2 * width, weight.shape[1]))
    for i in range(height):
        for j in range(width):
            for u in range(2):
                for v in range(2):
                    out[2 * i + u, 2 * j + v] = x[i, j] @ weight[:, :, u, v]
    return out


class Segmenter:
    """A ReLU of a 3x3 convolution, a second one, and each pixel made into four."""

    def __init__(self, first: np.ndarray, second: np.ndarray):
        self.first, self.second = first, second

    def channels(self, image: np.ndarray) -> np.ndarray:
        """The site, `i j d`."""
        return np.maximum(dilated(image, self.first), 0)

    def logits(self, image: np.ndarray) -> np.ndarray:
        """`h w k`, at twice the image's size."""
        return np.kron(dilated(self.channels(image), self.second), np.ones((2, 2, 1)))

    def score(self, image: np.ndarray, target: int, region: np.ndarray) -> float:
        """Sum of the class's logits over the region."""
        return float((self.logits(image)[..., target] * region).sum())

    def gradient(
        self, image: np.ndarray, target: int, region: np.ndarray
    ) -> np.ndarray:
        """The score's derivative with respect to the site, pixel by pixel."""
        found = np.zeros(self.channels(image).shape)
        for y, x in zip(*np.nonzero(region), strict=True):
            for u in range(3):
                for v in range(3):
                    i, j = y // 2 + u - 1, x // 2 + v - 1
                    if 0 <= i < found.shape[0] and 0 <= j < found.shape[1]:
                        found[i, j] += self.second[u, v, :, target] * region[y, x]
        return found

    def seg_grad_cam(
        self, image: np.ndarray, target: int, region: np.ndarray
    ) -> np.ndarray:
        """Positive part of the channels weighted by their mean gradient."""
        weights = self.gradient(image, target, region).mean(axis=(0, 1))
        return np.maximum(self.channels(image) @ weights, 0)


def component(mask: np.ndarray, pixel: tuple[int, int], neighbors: int) -> np.ndarray:
    """What is reached from a pixel, one neighbor after the other."""
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)]
    if neighbors == 8:
        steps += [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    found, todo = np.zeros(mask.shape, bool), [pixel]
    while todo:
        y, x = todo.pop()
        inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
        if inside and mask[y, x] and not found[y, x]:
            found[y, x] = True
            todo += [(y + dy, x + dx) for dy, dx in steps]
    return found
