"""How a map changes with its image."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._keys import per_image
from xattr._noise import fold
from xattr._types import Images, Keys, Method, Predictor
from xattr.metrics._parameter_randomization import APART, clean_targets

# Noise of each image from a key, in the units of the images.
Draw = Callable[[Images, Keys, Float[Array, ""]], Images]

# Maps, maps of changed images, and the noise -> one number per image.
Measure = Callable[[Images, Images, Images], Float[Array, " n"]]


def over_samples(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree,
    *,
    draw: Draw,
    scale: float,
    measure: Measure,
    num_samples: int,
    key: Keys | None,
) -> Float[Array, "n s"]:
    """A measure of what each sample of noise does to the map of each image.

    All maps of an image are made with its own key, so that a method that draws at
    random sees the same draws, and only the image changes. Samples are taken one after
    another by calls of the method: whatever is compiled for one serves all.
    """
    if not callable(method):
        raise TypeError(
            f"`method` is a {type(method).__name__}; it must be a method such as "
            f"`xattr.gradient` or `functools.partial(xattr.integrated_gradients, "
            f"num_steps=64)`."
        )
    keys = per_image(key, images.shape[0])
    targets = clean_targets(model, images, targets)
    maps = method(model, images, targets, key=keys)
    by = jnp.asarray(scale, jnp.float32)
    # Apart from what the method draws with these keys folded by its own samples.
    apart = fold(keys, jnp.full(images.shape[0], APART, jnp.uint32))
    found = []
    for sample in range(num_samples):
        own = fold(apart, jnp.full(images.shape[0], sample))
        noise = draw(images, own, by)
        changed = method(model, images + noise, targets, key=keys)
        found.append(measure(maps, changed, noise))
    return jnp.stack(found, axis=1)


@jax.jit
def uniform(images: Images, keys: Keys, radius: Float[Array, ""]) -> Images:
    """Noise with the same density anywhere up to `radius` away in each pixel."""
    return _drawn(jax.random.uniform, images, keys, minval=-1, maxval=1, by=radius)


@jax.jit
def gaussian(images: Images, keys: Keys, stddev: Float[Array, ""]) -> Images:
    """Normal noise."""
    return _drawn(jax.random.normal, images, keys, by=stddev)


def _drawn(
    sample: Any, images: Images, keys: Keys, *, by: Float[Array, ""], **options: Any
) -> Images:
    # Half precision draws as single precision does, so that both see the same noise.
    wide = jnp.promote_types(images.dtype, jnp.float32)
    draw = jax.vmap(lambda key: sample(key, images.shape[1:], wide, **options))
    return (by.astype(wide) * draw(keys)).astype(images.dtype)


@jax.jit
def relative_change(maps: Images, changed: Images, noise: Images) -> Float[Array, " n"]:
    """Euclidean length of the change of a map over its own, which may be zero."""
    del noise
    length = norm(maps)
    return norm(changed - maps) / jnp.where(length > 0, length, 1)


@jax.jit
def change(maps: Images, changed: Images, noise: Images) -> Float[Array, " n"]:
    """Euclidean length of the change of a map."""
    del noise
    return norm(changed - maps)


def norm(x: Images) -> Float[Array, " n"]:
    """Euclidean length of each row's values."""
    flat = x.reshape(x.shape[0], -1)
    return jnp.linalg.norm(flat.astype(jnp.promote_types(x.dtype, jnp.float32)), axis=1)
