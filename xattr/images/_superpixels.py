"""Superpixels that do not overlap, as masks."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from xattr.images._segments import host_images, stacked

Algorithm = Literal["slic", "quickshift", "felzenszwalb"]

_DEFAULTS: dict[str, dict[str, Any]] = {
    "slic": {"n_segments": 64, "compactness": 10.0, "start_label": 0},
    "quickshift": {"kernel_size": 4, "max_dist": 200, "ratio": 0.2, "rng": 0},
    "felzenszwalb": {"scale": 100.0, "sigma": 0.8, "min_size": 150},
}


def superpixels(
    images: Float[np.ndarray, "n h w c"],
    *,
    algorithm: Algorithm = "slic",
    **options: Any,
) -> Bool[np.ndarray, "n m h w"]:
    """Parts of the image that follow its edges, each pixel in exactly one of them.

    They are the `segments` of `feature_ablation`, `shapley_sampling`, `lime`,
    `kernel_shap`, `sobol` and `hsic`. A function of the host: it can't be traced by
    `jax.jit`.

    Args:
      images: images in any units; each is scaled to [0, 1] by its own extremes.
      algorithm: `slic`, about 64 of similar size; `quickshift`, with the options that
        the authors of LIME chose; or `felzenszwalb`.
      options: of the function of that name in `skimage.segmentation`, in the place of
        these defaults: `superpixels(images, n_segments=100)`.

    Returns:
      True inside each superpixel. An image with fewer than another of the batch has
      empty ones at its end.

    Raises:
      ImportError: if scikit-image is not installed.
      TypeError: if `images` are traced.
      ValueError: if `images` are not `n h w c`, or `algorithm` is none of the above.

    Example:
      >>> halves = np.zeros((1, 8, 8, 3), np.float32)
      >>> halves[:, :, 4:] = 1
      >>> found = superpixels(halves, algorithm="felzenszwalb", sigma=0, min_size=9)
      >>> found.shape, found[0, 1].sum(axis=0).tolist()
      ((1, 2, 8, 8), [0, 0, 0, 0, 8, 8, 8, 8])

    References:
      [achanta2012slic], [vedaldi2008quick], [felzenszwalb2004efficient].
    """
    if algorithm not in _DEFAULTS:
        raise ValueError(
            f"`algorithm`={algorithm!r} is none of {', '.join(_DEFAULTS)}: "
            f"`algorithm='slic'`."
        )
    images = host_images(images, "superpixels")
    segment, options = _function(algorithm), _DEFAULTS[algorithm] | options
    if algorithm == "quickshift" and images.shape[-1] != 3:
        options = {"convert2lab": False} | options
    return stacked([_masks(_labels(segment, image, options)) for image in images])


def _labels(segment: Any, image: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    low, high = image.min(), image.max()
    scaled = (image - low) / max(high - low, np.finfo(np.float64).tiny)
    return segment(scaled, channel_axis=-1, **options)


def _masks(labels: np.ndarray) -> np.ndarray:
    """One mask per label that occurs."""
    return labels == np.unique(labels)[:, None, None]


def _function(algorithm: str) -> Any:
    try:
        from skimage import segmentation
    except ImportError as error:
        raise ImportError(
            "`xattr.images.superpixels` needs scikit-image: "
            "`pip install 'xattr-jax[segments]'`."
        ) from error
    return getattr(segmentation, algorithm)
