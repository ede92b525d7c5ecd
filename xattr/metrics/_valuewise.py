"""Maps that say one number per value of an image, or one per pixel."""

from jaxtyping import Array, Float

from xattr._types import Images
from xattr.metrics._pixelwise import pixelwise


def valuewise(
    maps: Float[Array, "n *shape"], images: Images
) -> Float[Array, "n h w #c"]:
    """Maps `n h w c` as they are, and those of one number per pixel as `n h w 1`.

    Raises:
      ValueError: if the maps are neither, or not on the grid of the images.

    Example:
      >>> import jax.numpy as jnp
      >>> valuewise(jnp.ones((1, 2, 2)), jnp.ones((1, 2, 2, 3))).shape
      (1, 2, 2, 1)
    """
    if images.ndim == 4 and maps.shape == images.shape:
        return maps
    return pixelwise(maps, images)[..., None]
