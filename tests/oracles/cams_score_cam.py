"""Score-CAM and its kin with loops over channels and copies of their masks."""

from collections.abc import Callable

import numpy as np

from tests.oracles.cams import by_weights
from tests.oracles.resample import bilinear

Score = Callable[[np.ndarray], float]


def mask(channel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    large = bilinear(channel, *size)
    low, high = large.min(), large.max()
    return (large - low) / (high - low) if high > low else np.zeros(size)


def seen(image: np.ndarray, visible: np.ndarray, fill: np.ndarray) -> np.ndarray:
    out = np.zeros_like(image)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            v = visible[y, x]
            out[y, x] = v * image[y, x] + (1 - v) * fill[y, x]
    return out


def softmax(values: np.ndarray) -> np.ndarray:
    return np.exp(values) / np.exp(values).sum()


def score_cam(
    score: Score, image: np.ndarray, a: np.ndarray, fill: np.ndarray, variant: str
) -> np.ndarray:
    """The map `i j` before the ReLU of one image `h w c` with activations `i j d`."""
    size = image.shape[:2]
    increase = [
        score(seen(image, mask(a[..., d], size), fill)) - score(fill)
        for d in range(a.shape[2])
    ]
    if variant != "authors":
        return by_weights(a, softmax(np.array(increase)))
    weights = np.array(increase) + score(fill)
    for d in range(a.shape[2]):
        if a[..., d].max() == a[..., d].min():
            weights[d] = 0
    return by_weights(a, weights)


def ss_cam(
    score: Score, image: np.ndarray, a: np.ndarray, fill: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """With the noise on each channel's masks given, `d s h w`."""
    means = np.zeros(a.shape[2])
    for d in range(a.shape[2]):
        for added in noise[d]:
            noisy = mask(a[..., d], image.shape[:2]) + added
            means[d] += (score(seen(image, noisy, fill)) - score(image)) / len(noise[d])
    return by_weights(a, softmax(means))


def is_cam(
    score: Score, image: np.ndarray, a: np.ndarray, fill: np.ndarray, steps: int
) -> np.ndarray:
    means = np.zeros(a.shape[2])
    for d in range(a.shape[2]):
        for step in range(1, steps + 1):
            partial = mask(a[..., d], image.shape[:2]) * step / steps
            means[d] += (score(seen(image, partial, fill)) - score(image)) / steps
    return by_weights(a, softmax(means))
