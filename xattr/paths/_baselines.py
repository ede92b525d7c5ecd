"""Where paths begin: one baseline for all images, one for each, or several."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Inexact, Int

from xattr._types import Images

Baselines = Inexact[Array, "b #n ..."]


def baselines_for(images: Images, baseline: Any) -> Baselines:
    """Baselines with their own leading axis; zeros when None."""
    if baseline is None:
        return jnp.zeros((1, 1, *images.shape[1:]), images.dtype)
    if not hasattr(baseline, "shape"):
        raise TypeError(
            f"`baseline` is a {type(baseline).__name__}; it must be an array that "
            f"broadcasts to the images, for example `jnp.full_like(images[:1], 0.5)`."
        )
    several = baseline if baseline.ndim == images.ndim + 1 else baseline[None]
    if several.ndim != images.ndim + 1 or any(
        size not in (1, full)
        for size, full in zip(several.shape[1:], images.shape, strict=True)
    ):
        raise ValueError(
            f"`baseline` has shape {baseline.shape} for images of shape "
            f"{images.shape}; it must have the same rank and broadcast to them, or a "
            f"leading axis more for several baselines: `jnp.stack([black, white])`."
        )
    shape = (*several.shape[:2], *images.shape[1:])
    return jnp.broadcast_to(several, shape).astype(images.dtype)


def pick(
    baselines: Baselines, image: Int[Array, " pairs"], index: Int[Array, " pairs"]
) -> Images:
    """Baseline number `index` of each of these images."""
    return baselines[index, image if baselines.shape[1] > 1 else 0]
