"""What the score `segment` explains: a pixel, a connected region, a class."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from xattr.images._component import component, one_pixel

Outputs = Float[Array, "n h w k"]
Target = tuple[Int[Array, " n"], Bool[Array, "n h w"]]


def pixel_target(outputs: Outputs, pixels: Int[Array, "n 2"]) -> Target:
    """The class that is predicted at a pixel, there alone.

    Args:
      outputs: one logit per pixel and class.
      pixels: row and column of a pixel of each image.

    Returns:
      Targets for `xattr.segment`: classes, and regions that hold one pixel. To explain
      another class at that pixel, put it in the place of the first. A pixel outside of
      its image has a score, and a map, that is not a number.

    Example:
      >>> outputs = jnp.array([[[[0.0, 1.0], [3.0, 2.0]]]])
      >>> classes, regions = pixel_target(outputs, jnp.array([[0, 1]]))
      >>> classes.tolist(), regions.tolist()
      ([0], [[[False, True]]])
    """
    regions = one_pixel(outputs.shape[1:3], pixels)
    return _class_at(outputs, regions), regions


def region_target(
    outputs: Outputs, pixels: Int[Array, "n 2"], *, neighbors: int = 4
) -> Target:
    """The class that is predicted at a pixel, in the connected region around it.

    Args:
      outputs: one logit per pixel and class.
      pixels: row and column of a pixel of each region.
      neighbors: 4, where pixels touch by their sides, or 8, by their corners too.

    Returns:
      Targets for `xattr.segment`: classes, and the regions of that prediction which
      hold the pixels. A pixel outside of its image has a score, and a map, that is not
      a number.

    Raises:
      ValueError: if `neighbors` is neither 4 nor 8.

    Example:
      >>> outputs = jnp.array([[[[2.0, 1.0], [0.0, 1.0], [1.0, 3.0], [1.0, 0.0]]]])
      >>> classes, regions = region_target(outputs, jnp.array([[0, 1]]))
      >>> classes.tolist(), regions.tolist()
      ([1], [[[False, True, True, False]]])
    """
    at = one_pixel(outputs.shape[1:3], pixels)
    classes = _class_at(outputs, at)
    return classes, component(_predicted(outputs, classes), pixels, neighbors=neighbors)


def class_target(outputs: Outputs, classes: Int[Array, " n"]) -> Target:
    """A class, in all pixels where it is predicted.

    Args:
      outputs: one logit per pixel and class.
      classes: one class index per image.

    Returns:
      Targets for `xattr.segment`. Where a class is predicted nowhere, its region is
      empty, and its score and maps are zero.

    Example:
      >>> outputs = jnp.array([[[[2.0, 1.0], [0.0, 1.0], [1.0, 0.0]]]])
      >>> classes, regions = class_target(outputs, jnp.array([0]))
      >>> classes.tolist(), regions.tolist()
      ([0], [[[True, False, True]]])

    Notes:
      The code of Seg-Grad-CAM also leaves out the pixels whose class has a probability
      under one half; the paper does not.
    """
    return classes, _predicted(outputs, classes)


def _predicted(outputs: Outputs, classes: Int[Array, " n"]) -> Bool[Array, "n h w"]:
    """Where each image's class has the highest logit."""
    return outputs.argmax(axis=3) == classes[:, None, None]


def _class_at(outputs: Outputs, at: Bool[Array, "n h w"]) -> Int[Array, " n"]:
    """The class with the highest logit at one pixel; none where that is outside."""
    inside = at.any(axis=(1, 2))
    found = jnp.where(at, outputs.argmax(axis=3), 0).sum(axis=(1, 2))
    return jnp.where(inside, found, outputs.shape[3])
