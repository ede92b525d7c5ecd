"""Noise on images, as a share of each image's own range of values."""

import jax

from xattr._counts import check_count
from xattr._types import Images, Keys


def check_noise(num_samples: int, stddev: float) -> None:
    """Refuse what can't be drawn."""
    check_count("num_samples", num_samples)
    if stddev < 0:
        raise ValueError(
            f"`stddev`={stddev}; it must be at least 0, a share of the image's range."
        )


def with_noise(images: Images, keys: Keys, stddev: float) -> Images:
    """Images with noise that each draws from a key of its own."""
    axes = tuple(range(1, images.ndim))
    extent = images.max(axes, keepdims=True) - images.min(axes, keepdims=True)
    noise = jax.vmap(
        lambda key: jax.random.normal(key, images.shape[1:], images.dtype)
    )(keys)
    return images + stddev * extent * noise


def fold(keys: Keys, index: jax.Array) -> Keys:
    """Each image's key folded with its own index."""
    return jax.vmap(jax.random.fold_in)(keys, index)
