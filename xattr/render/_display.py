"""From a method's maps to numbers that can be drawn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int

from xattr.images import channel_sum, clip_percentile, resize, status, symmetric


def drawable(
    maps: Inexact[Array, "n i j *c"] | Inexact[np.ndarray, "n i j *c"],
    size: tuple[int, int],
    *,
    percentile: float = 99.0,
) -> tuple[Float[Array, "n h w"], Int[Array, " n"]]:
    """Maps at the photographs' size, from -1 to 1, and whether they can be drawn.

    Channels are summed, the grid is resized bilinearly, the largest magnitudes are
    cut to `percentile` (one bright pixel would hide the rest), and each map is
    divided by its largest magnitude: zero stays zero, signs stay.

    Args:
      maps: what a method returned: `n h w c`, `n h w 1` or `n i j`.
      size: height and width of the photographs.
      percentile: share of magnitudes that are not cut, in percent.

    Returns:
      The maps, and an index into `xattr.images.STATUSES` for each: a map that is all
      zero or not finite comes out as zeros, and is not to be drawn.

    Example:
      >>> drawable(jnp.array([[[-1.0, 2.0]]]), (1, 2), percentile=100)[0]
      Array([[[-0.5,  1. ]]], dtype=float32)
    """
    return _drawable(jnp.asarray(maps), tuple(size), percentile)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _drawable(
    maps: Array, size: tuple[int, int], percentile: float
) -> tuple[Array, Array]:
    """Compiled once per shape."""
    maps = maps.astype(jnp.float32)
    states = status(maps)
    flat = channel_sum(maps) if maps.ndim == 4 else maps
    # Channels may cancel: what is left must be drawable too.
    states = jnp.maximum(states, status(flat))
    finite = jnp.where((states == 0)[:, None, None], flat, 0)
    clipped = clip_percentile(resize(finite, size), percentile=percentile)
    return symmetric(clipped), states
