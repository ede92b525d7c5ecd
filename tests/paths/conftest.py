"""A smooth network in double precision, and its gradient as NumPy sees it."""

import jax
import numpy as np
import pytest

from tests.networks import images, tiny_convnet
from xattr import Model


class Network:
    """Model, two images, their targets, and the gradient of one image's score."""

    def __init__(self, smooth: bool):
        self.model: Model = tiny_convnet(
            jax.random.key(1), smooth=smooth, dtype=np.float64
        )
        self.images = images(2, seed=3, dtype=np.float64)
        self.targets = self.model(self.images).argmax(1)
        self._gradient = jax.jit(
            jax.grad(lambda x, k: self.model(x[None])[0, k]),  # type: ignore[index]
        )

    def score(self, batch) -> np.ndarray:
        """Score of each image's target."""
        return np.asarray(self.model(batch))[np.arange(2), np.asarray(self.targets)]

    def gradient(self, index: int):
        """Gradient of the score of image `index`, as a function of one image."""
        target = self.targets[index]
        return lambda x: np.asarray(self._gradient(x, target))


@pytest.fixture(params=[True, False], ids=["smooth", "rectified"])
def network(request):
    with jax.enable_x64(True):
        yield Network(request.param)


@pytest.fixture
def smooth_network():
    with jax.enable_x64(True):
        yield Network(True)
