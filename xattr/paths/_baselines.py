"""What means "no evidence": a number, a color, an image, one for each, or several."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Inexact, Int

from xattr._types import Images

Baseline = float | int | Inexact[Array, "..."]
Baselines = Inexact[Array, "b #n ..."]


def baselines_for(images: Images, baseline: Any) -> Baselines:
    """Baselines with their own leading axis; zeros when None."""
    if baseline is None:
        baseline = 0.0
    if not hasattr(baseline, "shape") and not isinstance(baseline, (int, float)):
        raise TypeError(
            f"`baseline` is a {type(baseline).__name__}; it must be a number or an "
            f"array that broadcasts to the images: `0.5`, a color "
            f"`jnp.array([0.5, 0.5, 0.5])`, or `jnp.full_like(images[:1], 0.5)`."
        )
    array = jnp.asarray(baseline, images.dtype)
    shape = (*[1] * (images.ndim + 1 - array.ndim), *array.shape)
    if len(shape) != images.ndim + 1 or any(
        size not in (1, full)
        for size, full in zip(shape[1:], images.shape, strict=True)
    ):
        raise ValueError(
            f"`baseline` has shape {array.shape} for images of shape {images.shape}; "
            f"it must be a number, or broadcast to them: a color, `jnp.array([0.5, "
            f"0.5, 0.5])`, one image, or one for each. With a leading axis more it is "
            f"several baselines: `jnp.stack([black, white])`."
        )
    return jnp.broadcast_to(array.reshape(shape), (*shape[:2], *images.shape[1:]))


def one_baseline(images: Images, baseline: Any) -> Images:
    """The only baseline of each image."""
    several = baselines_for(images, baseline)
    if several.shape[0] != 1:
        raise ValueError(
            f"`baseline` holds {several.shape[0]} baselines; this method takes one. "
            f"Give one image, or one per image: `baseline=baselines[0]`."
        )
    return jnp.broadcast_to(several[0], images.shape)


def pick(
    baselines: Baselines, image: Int[Array, " pairs"], index: Int[Array, " pairs"]
) -> Images:
    """Baseline number `index` of each of these images."""
    return baselines[index, image if baselines.shape[1] > 1 else 0]


def check_baselines(images: Images, baselines: Images) -> None:
    """Raise unless baselines are a data set of such images."""
    if not hasattr(baselines, "shape"):
        raise TypeError(
            f"`baselines` is a {type(baselines).__name__}; it must be an array "
            f"`b h w c`: `jnp.stack([black, white])`."
        )
    if baselines.shape[1:] != images.shape[1:] or baselines.shape[0] == 0:
        raise ValueError(
            f"`baselines` has shape {baselines.shape} for images of shape "
            f"{images.shape}; it must be at least one image of the same shape, "
            f"`b h w c`."
        )
