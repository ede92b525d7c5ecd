"""Noisy copies of images, and sums over them."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._chunking import sum_all
from xattr._keys import per_image
from xattr._noise import fold, with_noise
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Method, Predictor


def holds_arrays(method: Method, options: dict[str, Any]) -> bool:
    """Whether a method was given data of its own."""
    return any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves((method, options)))


def sum_samples(
    evaluate: Any, rows: PyTree, num: int, chunk_size: int | None, together: bool
) -> PyTree:
    """Sum over samples, of all images at a time where `together`.

    Arrays given to the inner method (segments, a baseline per image) may belong to the
    images of the batch, and chunks of pairs would lose which belongs to which.
    """
    if not together:
        return sum_all(evaluate, rows, num=num, chunk_size=chunk_size)
    n = jax.tree.leaves(rows)[0].shape[0]

    def sample(_, index):
        results = evaluate(rows, jnp.broadcast_to(index, (n,)))
        return jax.tree.map(lambda x: x[None], results)

    sums = sum_all(sample, jnp.zeros(1), num=num, chunk_size=1)
    return jax.tree.map(lambda x: x[0], sums)


def noise_rows(
    model: Predictor,
    images: Images,
    targets: PyTree,
    key: Keys | None,
    chunk_size: int | None,
) -> tuple[Images, PyTree, Keys]:
    """What belongs to each image: itself, its class when clean, and its key."""
    keys = per_image(key, images.shape[0])
    return images, resolve_targets(model, images, targets, chunk_size), keys


def noisy(
    rows: tuple[Images, PyTree, Keys], index: jax.Array, stddev: float
) -> tuple[Images, PyTree, Keys]:
    """Noisy copies of a chunk's images, and keys for what the inner method draws."""
    images, targets, keys = rows
    own = jax.vmap(jax.random.split)(fold(keys, index))
    return with_noise(images, own[:, 0], stddev), targets, own[:, 1]
