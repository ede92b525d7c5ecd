"""Noise on images, as a share of each image's own range of values."""

import jax
import jax.numpy as jnp

from xattr._checks import check_count, check_not_negative
from xattr._types import Images, Keys


def check_noise(num_samples: int, stddev: float) -> None:
    """Refuse what can't be drawn."""
    check_count("num_samples", num_samples)
    check_not_negative("stddev", stddev, 0.1)


def with_noise(images: Images, keys: Keys, stddev: float) -> Images:
    """Images with noise that each draws from a key of its own.

    Half precision draws as single precision does, so that both see the same noise.
    """
    axes = tuple(range(1, images.ndim))
    extent = images.max(axes, keepdims=True) - images.min(axes, keepdims=True)
    wide = jnp.promote_types(images.dtype, jnp.float32)
    noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:], wide))(keys)
    return images + stddev * extent * noise.astype(images.dtype)


def fold(keys: Keys, index: jax.Array) -> Keys:
    """Each image's key folded with its own index."""
    return jax.vmap(jax.random.fold_in)(keys, index)
