"""Maps that say one number per pixel, which is what metrics rank and sum."""

from jaxtyping import Array, Float

from xattr._types import Images


def pixelwise(
    maps: Float[Array, "n *shape"], images: Images | None = None
) -> Float[Array, "n h w"]:
    """Maps `n h w` from `n h w` or `n h w 1`, on the grid of the images.

    Args:
      maps: one number per pixel; the larger, the more evidence.
      images: the images `n h w c` that are explained; not compared when None.

    Raises:
      ValueError: if there is more than one number per pixel, or the grid or the number
        of maps is not that of the images.

    Example:
      >>> import jax.numpy as jnp
      >>> pixelwise(jnp.array([[[[1.0], [2.0]]]]))
      Array([[[1., 2.]]], dtype=float32)
    """
    shape = maps.shape
    if len(shape) not in (3, 4):
        raise ValueError(
            f"`maps` has shape {shape}; metrics take one number per pixel, `n h w` or "
            f"`n h w 1`. For one map use `maps[None]`."
        )
    if len(shape) == 4 and shape[3] != 1:
        raise ValueError(
            f"`maps` has shape {shape}, {shape[3]} numbers per pixel; metrics take "
            f"one, `n h w` or `n h w 1`: `xattr.images.channel_sum(maps)`."
        )
    flat = maps.reshape(shape[:3])
    if images is None:
        return flat
    if images.ndim != 4:
        raise ValueError(
            f"`images` has shape {images.shape}; metrics take images `n h w c`. For "
            f"one image use `images[None]`."
        )
    n, h, w = images.shape[:3]
    if shape[0] != n:
        raise ValueError(
            f"`maps` has shape {shape} for {n} images; there must be one map for each: "
            f"`maps=method(model, images)`."
        )
    if shape[1:3] != (h, w):
        raise ValueError(
            f"`maps` has shape {shape} for images of {h} by {w} pixels; there must be "
            f"one number per pixel: `xattr.images.resize(maps, ({h}, {w}))`."
        )
    return flat
