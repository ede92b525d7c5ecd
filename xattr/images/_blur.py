"""Gaussian blur of any width."""

import functools
import math
from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float

Edges = Literal["renormalize", "zero"]


def gaussian_blur(
    images: Float[Array, "n h w *c"],
    stddev: float | Float[Array, ""] | Float[Array, " n"],
    *,
    edges: Edges = "renormalize",
) -> Float[Array, "n h w *c"]:
    r"""Images smoothed by a Gaussian of standard deviation `stddev`.

    Rows, then columns, by the matrix with entries

    $$ K_{ij} = e^{-(i - j)^2 / 2\sigma^2} / Z_i $$

    Args:
      images: images or maps, the spatial axes second and third.
      stddev: in pixels, one for all or one per image; 0 leaves the image as it is.
      edges: what lies outside of the image. `renormalize`: nothing, and the weights
        inside sum to 1, so that constants stay constants. `zero`: zeros, so that
        borders fade.

    Returns:
      The smoothed images; differentiable in `stddev` too.

    Raises:
      ValueError: if `edges` is neither, or `stddev` is neither one nor `n` numbers.

    Example:
      >>> gaussian_blur(jnp.array([[[0.0, 3.0, 0.0]]]), 1e3).round(3)
      Array([[[1., 1., 1.]]], dtype=float32)

    Notes:
      The kernel is not truncated, whatever its width: two matrix products take the
      place of a convolution. scipy's `gaussian_filter(mode="constant")` is `zero`
      truncated at four standard deviations.
    """
    if edges not in get_args(Edges):
        raise ValueError(f"`edges`={edges!r}; it must be 'renormalize' or 'zero'.")
    stddev = jnp.asarray(stddev, images.dtype)
    if stddev.shape not in ((), images.shape[:1]):
        raise ValueError(
            f"`stddev` has shape {stddev.shape}; it must be one number, or one for "
            f"each of the {images.shape[0]} images."
        )
    flat = images.reshape(*images.shape[:3], -1)
    letter = "n" if stddev.ndim else ""
    rows, columns = (_matrix(size, stddev, edges) for size in flat.shape[1:3])
    # Differences between blurred images are taken: a device's fast products would
    # round them away.
    product = functools.partial(jnp.einsum, precision="highest")
    flat = product(f"{letter}yi,nijc->nyjc", rows, flat)
    flat = product(f"{letter}xj,nyjc->nyxc", columns, flat)
    return flat.reshape(images.shape)


def _matrix(size: int, stddev: Array, edges: Edges) -> Array:
    """What each pixel of a line (first axis) takes of each (second axis)."""
    place = jnp.arange(size, dtype=stddev.dtype)
    square = (place[:, None] - place[None]) ** 2
    # At this width nothing but the pixel itself counts, and nothing divides by zero.
    stddev = jnp.maximum(stddev, 0.05)[..., None, None]
    square = square.reshape((1,) * (stddev.ndim - 2) + square.shape)
    weights = jnp.exp(-square / (2 * stddev**2))
    if edges == "renormalize":
        return weights / weights.sum(-1, keepdims=True)
    return weights / _total(stddev)


def _total(stddev: Array) -> Array:
    """Sum of the kernel over all integers, by its terms or by Poisson's formula."""
    small = jnp.minimum(stddev, 2)
    terms = sum(jnp.exp(-(k**2) / (2 * small**2)) for k in range(1, 16))
    wide = stddev * math.sqrt(2 * math.pi)
    return jnp.where(stddev < 2, 1 + 2 * terms, wide)
