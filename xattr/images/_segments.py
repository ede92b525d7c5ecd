"""Superpixels of several sizes, as masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


def segments(
    images: Float[np.ndarray, "n h w c"],
    *,
    scales: Sequence[float] = (50, 100, 150, 250, 500, 1200),
    stddev: float = 0.8,
    min_size: int = 150,
    dilation: int = 5,
) -> Bool[np.ndarray, "n m h w"]:
    """Overlapping regions that follow the image's edges, for `xrai`.

    A function of the host: it can't be traced by `jax.jit`.

    Args:
      images: images in any units; each is scaled to [-1, 1] by its own extremes.
      scales: sizes of Felzenszwalb's segmentation; larger means fewer, larger regions.
      stddev: width of the blur before it, in pixels.
      min_size: pixels under which a region is joined to a neighbor.
      dilation: pixels by which each region is widened, in a disk; 0 for none.

    Returns:
      True inside each region. An image with fewer regions than another of the batch has
      empty ones at its end.

    Raises:
      ImportError: if scikit-image is not installed.
      TypeError: if `images` are traced.
      ValueError: if `images` are not `n h w c`, or `scales` is empty.

    Example:
      >>> halves = np.zeros((1, 8, 8, 3), np.float32)
      >>> halves[:, :, 4:] = 1
      >>> found = segments(halves, scales=[9], stddev=0, min_size=9, dilation=0)
      >>> found.shape, found[0, 1].sum(axis=0).tolist()
      ((1, 2, 8, 8), [0, 0, 0, 0, 8, 8, 8, 8])

    References:
      [felzenszwalb2004efficient]; sizes of [kapishnikov2019xrai].

    Notes:
      The authors of XRAI first resize to 224 x 224. Here the image's own size is used.
    """
    images = host_images(images, "segments")
    if not len(scales):
        raise ValueError("`scales` is empty; give at least one, such as `[100]`.")
    return stacked(
        [
            np.concatenate(
                [_regions(image, scale, stddev, min_size, dilation) for scale in scales]
            )
            for image in images
        ]
    )


def stacked(found: Sequence[np.ndarray]) -> Bool[np.ndarray, "n m h w"]:
    """Masks of several images in one array, with empty ones where there are fewer."""
    masks = np.zeros((len(found), max(map(len, found)), *found[0].shape[1:]), bool)
    for padded, regions in zip(masks, found, strict=True):
        padded[: len(regions)] = regions
    return masks


def host_images(images: Any, name: str) -> Float[np.ndarray, "n h w c"]:
    """Images as NumPy's, for a function of this name that can't be traced."""
    import jax

    try:
        array = np.asarray(images, np.float64)
    except jax.errors.TracerArrayConversionError:
        raise TypeError(
            f"`images` are traced by `jax.jit`; call `xattr.images.{name}(images)` "
            f"outside and pass its result in."
        ) from None
    if array.ndim != 4 or 0 in array.shape:
        raise ValueError(
            f"`images` has shape {array.shape}; it must be `n h w c`. For one image "
            f"use `images[None]`."
        )
    return array


def _regions(
    image: np.ndarray, scale: float, stddev: float, min_size: int, dilation: int
) -> np.ndarray:
    """Masks of one segmentation of one image."""
    felzenszwalb, distance = _backend()
    low, high = image.min(), image.max()
    scaled = 2 * (image - low) / max(high - low, np.finfo(np.float64).tiny) - 1
    labels = felzenszwalb(
        scaled, scale=scale, sigma=stddev, min_size=min_size, channel_axis=-1
    )
    masks = [labels == label for label in range(labels.max() + 1)]
    if dilation:
        # A whole image has no outside to measure the distance from.
        masks = [m if m.all() else distance(~m) <= dilation for m in masks]
    return np.stack(masks)


def _backend() -> tuple[Any, Any]:
    try:
        from scipy.ndimage import distance_transform_edt
        from skimage.segmentation import felzenszwalb
    except ImportError as error:
        raise ImportError(
            "`xattr.images.segments` needs scikit-image: "
            "`pip install 'xattr-jax[segments]'`."
        ) from error
    return felzenszwalb, distance_transform_edt
