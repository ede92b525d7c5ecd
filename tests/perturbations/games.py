"""Models whose features are few, and what a method showed them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests import networks
from tests.oracles import perturbations_features as oracles

GRID = (2, 3)
NUM = 6


def additive(weights: jax.Array | float) -> Any:
    """The sum of each image's values times weights."""

    def model(x):
        return (x * weights).sum((1, 2, 3))[:, None]

    return model


def case(seed: int = 0) -> tuple[Any, jax.Array, jax.Array]:
    """A network, two images and their fill, in double precision."""
    model = networks.tiny_convnet(jax.random.key(seed), dtype=jnp.float64)
    images = networks.images(2, dtype=jnp.float64)
    return model, images, 0.1 * networks.images(2, seed=1, dtype=jnp.float64)


def game(model: Any, image: Any, fill: Any, target: int) -> oracles.Game:
    """The score of one image with cells of `GRID` switched."""
    run = jax.jit(model)

    def score(pixels):
        return float(np.asarray(run(pixels[None]))[0, target])

    owner = oracles.cells(image.shape[:2], GRID)
    return oracles.game(score, np.array(image), np.array(fill), owner)


def coalitions(
    method: Any, *, num: int, num_images: int = 1, **options: Any
) -> np.ndarray:
    """How far each of `num` features was on in the images that a method evaluated.

    An image is a row of ones, a pixel per feature, on a baseline of zeros.
    """
    seen: list[np.ndarray] = []

    def model(x):
        jax.debug.callback(lambda shown: seen.append(np.asarray(shown)), x)
        return x.sum((1, 2, 3))[:, None]

    method(
        model,
        jnp.ones((num_images, 1, num, 1)),
        [0] * num_images,
        grid=(1, num),
        baseline=0.0,
        chunk_size=1 << 20,
        **{"key": jax.random.key(0), **options},
    ).block_until_ready()
    jax.effects_barrier()
    (shown,) = seen
    return shown[:, 0, :, 0]


def by_cell(maps: Any) -> np.ndarray:
    """The value of each cell of `GRID`, which its pixels share."""
    owner = oracles.cells(maps.shape[1:3], GRID)
    found = np.zeros((len(maps), NUM))
    for values, image in zip(found, np.array(maps), strict=True):
        for feature in range(NUM):
            (values[feature],) = set(image[owner == feature, 0].tolist())
    return found
