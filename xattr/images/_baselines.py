"""Images that mean "no evidence": where paths begin and what masks put in."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from xattr._keys import per_image
from xattr.images._blur import gaussian_blur


def black(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Zeros: black for models that take RGB in [0, 1].

    Example:
      >>> black(jnp.array([[[[0.5, 0.25]]]]))
      Array([[[[0., 0.]]]], dtype=float32)
    """
    return jnp.zeros_like(images)


def white(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Ones: white for models that take RGB in [0, 1].

    Example:
      >>> white(jnp.array([[[[0.5, 0.25]]]]))
      Array([[[[1., 1.]]]], dtype=float32)
    """
    return jnp.ones_like(images)


def mean_color(images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Each image's mean color everywhere.

    Example:
      >>> mean_color(jnp.array([[[[0.0], [1.0]]]])).ravel()
      Array([0.5, 0.5], dtype=float32)
    """
    return jnp.broadcast_to(images.mean((1, 2), keepdims=True), images.shape)


def blurred(
    images: Float[Array, "n h w c"], *, stddev: float = 10.0
) -> Float[Array, "n h w c"]:
    """Each image without its detail, by `gaussian_blur`.

    Args:
      images: images in any units.
      stddev: standard deviation of the Gaussian, in pixels.

    Example:
      >>> blurred(jnp.array([[[[0.0], [1.0]]]]), stddev=1e3).ravel().round(3)
      Array([0.5, 0.5], dtype=float32)
    """
    return gaussian_blur(images, stddev)


def uniform_noise(
    images: Float[Array, "n h w c"],
    *,
    key: PRNGKeyArray,
    low: float = 0.0,
    high: float = 1.0,
) -> Float[Array, "n h w c"]:
    """Every value drawn alone, uniformly between `low` and `high`.

    Args:
      images: images whose shape and type are taken.
      key: one key, folded with the position, or one per image.
      low: least value.
      high: bound above.

    Raises:
      ValueError: if `low` is not below `high`.

    Example:
      >>> noise = uniform_noise(jnp.zeros((1, 8, 8, 3)), key=jax.random.key(0))
      >>> bool((noise >= 0).all() and (noise < 1).all())
      True
    """
    if not low < high:
        raise ValueError(f"`low`={low} must be below `high`={high}.")
    return jax.vmap(
        lambda key: jax.random.uniform(key, images.shape[1:], images.dtype, low, high)
    )(per_image(key, images.shape[0]))
