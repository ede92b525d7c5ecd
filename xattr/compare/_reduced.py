"""From what methods return to one number per pixel of the image."""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.images import channel_norm, channel_sum, resize

# Their values are slopes, or only magnitudes say something: the sum of a pixel's
# channels means nothing, its length does.
SLOPES = frozenset(
    {
        "gradient",
        "smoothgrad",
        "vargrad",
        "guided_backprop",
        "deconvnet",
        "guided_grad_cam",
    }
)


def reduced(
    name: str, maps: Float[Array, "n ..."], size: tuple[int, int]
) -> Float[Array, "n h w"]:
    """A method's maps as metrics take them.

    Channels of slopes become their length, those of contributions their sum; maps on a
    site's grid are enlarged bilinearly.

    Args:
      name: of the method.
      maps: as it returns them.
      size: rows and columns of the images.

    Example:
      >>> reduced("gradient", jnp.array([[[[3.0, -4.0]]]]), (1, 1))
      Array([[[5.]]], dtype=float32)
      >>> reduced("integrated_gradients", jnp.array([[[[3.0, -4.0]]]]), (1, 1))
      Array([[[-1.]]], dtype=float32)
    """
    if maps.ndim == 4:
        of_channels = channel_norm if name in SLOPES else channel_sum
        maps = maps[..., 0] if maps.shape[-1] == 1 else of_channels(maps)
    return maps if maps.shape[1:] == size else resize(maps, size)


def stacked(
    maps: Mapping[str, Float[Array, "n ..."]], size: tuple[int, int]
) -> Float[Array, "k n h w"]:
    """The maps of all methods in their order, one on the other."""
    # As a mapping they would come out of a compiled function sorted by name.
    return _stacked(tuple(maps), size, *maps.values())


@functools.partial(jax.jit, static_argnums=(0, 1))
def _stacked(
    names: tuple[str, ...], size: tuple[int, int], *maps: Float[Array, "n ..."]
) -> Float[Array, "k n h w"]:
    pairs = zip(names, maps, strict=True)
    return jnp.stack(
        [reduced(name, each.astype(jnp.float32), size) for name, each in pairs]
    )
