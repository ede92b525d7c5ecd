"""Where the object is, according to people, beside where a map says it is."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from xattr.metrics._pixelwise import pixelwise


def annotated(
    maps: Float[Array, "n *shape"], masks: Bool[Array, "n h w"]
) -> Float[Array, "n h w"]:
    """Maps `n h w` that fit the masks of the object.

    Raises:
      TypeError: if the masks are not True and False.
      ValueError: if maps are not one number per pixel, or of another grid than masks.
    """
    maps = pixelwise(maps)
    if masks.dtype != bool:
        raise TypeError(
            f"`masks` is {masks.dtype}{list(masks.shape)}; it must be True inside the "
            f"object, `masks > 0`; for boxes `xattr.metrics.boxes_to_masks(boxes, "
            f"{maps.shape[1:]})`."
        )
    if masks.shape != maps.shape:
        raise ValueError(
            f"`masks` has shape {masks.shape} for maps {maps.shape}; there must be one "
            f"mask per map, on its grid. To enlarge maps use "
            f"`xattr.images.resize(maps, {masks.shape[1:]})`."
        )
    return maps


def where_defined(
    values: Float[Array, " n"],
    maps: Float[Array, "n h w"],
    masks: Bool[Array, "n h w"],
) -> Float[Array, " n"]:
    """Not a number where there is no object, or a map is not finite."""
    defined = masks.any((1, 2)) & jnp.isfinite(maps).all((1, 2))
    return jnp.where(defined, values, jnp.nan)
