"""A map laid over its photograph."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Inexact, UInt8

from xattr.images import STATUSES
from xattr.render._colormap import colorize
from xattr.render._display import drawable


def overlay(
    image: UInt8[np.ndarray, "h w 3"] | Float[np.ndarray, "h w 3"],
    map: Inexact[np.ndarray, "i j *c"],
    *,
    alpha: float = 0.85,
    signed: bool = True,
    percentile: float = 99.0,
    gray: bool = True,
) -> UInt8[np.ndarray, "h w 3"]:
    r"""A photograph with an attribution map drawn over it.

    $$ o = (1 - \alpha t)\, p + \alpha t\, q $$

    with $p$ the photograph, $q$ the map's color and $t$ its opacity, which rises
    with the magnitude.

    Args:
      image: photograph, 0 to 255 or 0 to 1.
      map: one map of it, as a method returns it: `h w c`, `h w 1` or a grid `i j`.
      alpha: opacity of the strongest evidence, 0 to 1.
      signed: red for and blue against the target; else magnitudes only.
      percentile: magnitudes above it are drawn alike.
      gray: draw the photograph without its colors, so that the map's stand out.

    Returns:
      The picture, 0 to 255.

    Raises:
      TypeError: if `image` is neither uint8 nor floating point.
      ValueError: if the shapes are others, `alpha` is not in [0, 1], or the map is
        all zero or not finite: there is nothing to draw.

    Example:
      >>> photo = np.zeros((1, 2, 3), np.uint8)
      >>> overlay(photo, np.array([[0.0, 1.0]]), alpha=1.0)[0, 0].tolist()
      [0, 0, 0]
    """
    photo = as_uint8(image)
    if np.ndim(map) not in (2, 3):
        raise ValueError(
            f"`map` has shape {np.shape(map)}; one map is wanted, i j or h w c. For a "
            "batch: `[overlay(x, a) for x, a in zip(images, maps)]`."
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"`alpha` must be in [0, 1], got {alpha}.")
    height, width = photo.shape[:2]
    maps = jnp.asarray(map)[None]
    values, states = drawable(maps, (height, width), percentile=percentile)
    if state := int(states[0]):
        raise ValueError(f"`map` is {STATUSES[state]}: there is nothing to draw.")
    return blend(photo, np.asarray(values[0]), alpha=alpha, signed=signed, gray=gray)


def blend(
    photo: np.ndarray, values: np.ndarray, *, alpha: float, signed: bool, gray: bool
) -> np.ndarray:
    """Draw values in [-1, 1] over a photograph of the same size."""
    layer = colorize(values, signed=signed).astype(np.float32)
    opacity = alpha * layer[..., 3:] / 255
    below = without_color(photo) if gray else photo
    return np.rint(below * (1 - opacity) + layer[..., :3] * opacity).astype(np.uint8)


def without_color(photo: np.ndarray) -> np.ndarray:
    """The photograph's luma (ITU-R BT.601), in three equal channels."""
    luma = photo @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat(luma[..., None], 3, axis=-1)


def as_uint8(image: np.ndarray) -> np.ndarray:
    """A photograph in [0, 1] or 0 to 255, as bytes."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            f"`image` has shape {image.shape}; h w 3 is needed, channels last: "
            "`image.transpose(1, 2, 0)` if they come first."
        )
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise TypeError(
            f"`image` is of {image.dtype}; uint8, or floating point in [0, 1], is "
            "needed."
        )
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            f"`image` runs from {image.min():g} to {image.max():g}; floating point "
            "must be in [0, 1]: `image / 255`."
        )
    return np.rint(image * 255).astype(np.uint8)
