"""From attributions to maps that can be drawn."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

STATUSES = ("ok", "all zero", "not finite")


def channel_sum(maps: Float[Array, "n h w c"]) -> Float[Array, "n h w"]:
    """Sum of each pixel's channels: what the pixel contributes in all.

    Example:
      >>> channel_sum(jnp.array([[[[1.0, -3.0, 0.5]]]]))
      Array([[[-1.5]]], dtype=float32)
    """
    return maps.sum(-1)


def channel_max_abs(maps: Float[Array, "n h w c"]) -> Float[Array, "n h w"]:
    """Each pixel's channel of largest magnitude, with its sign.

    Example:
      >>> channel_max_abs(jnp.array([[[[1.0, -3.0, 0.5]]]]))
      Array([[[-3.]]], dtype=float32)
    """
    index = jnp.abs(maps).argmax(-1, keepdims=True)
    return jnp.take_along_axis(maps, index, -1)[..., 0]


def channel_norm(maps: Float[Array, "n h w c"]) -> Float[Array, "n h w"]:
    """Euclidean length of each pixel's channels; never negative.

    Example:
      >>> channel_norm(jnp.array([[[[3.0, -4.0]]]]))
      Array([[[5.]]], dtype=float32)
    """
    return jnp.linalg.norm(maps, axis=-1)


def min_max(maps: Float[Array, "n i j"]) -> Float[Array, "n i j"]:
    r"""Each map moved and scaled to [0, 1]: $(a - \min a) / (\max a - \min a)$.

    Args:
      maps: one map per image.

    Returns:
      Maps from 0 to 1. A constant map, and one that `status` does not call ok, is
      all zeros.

    Example:
      >>> min_max(jnp.array([[[-1.0, 0.0, 3.0]]]))
      Array([[[0.  , 0.25, 1.  ]]], dtype=float32)
    """
    scaled = symmetric(maps)
    low = scaled.min((1, 2), keepdims=True)
    extent = scaled.max((1, 2), keepdims=True) - low
    return jnp.where(extent > 0, (scaled - low) / jnp.where(extent > 0, extent, 1), 0)


def symmetric(maps: Float[Array, "n i j"]) -> Float[Array, "n i j"]:
    r"""Each map divided by its largest magnitude, so that zero stays zero.

    $$ a \,/\, \max_{ij} |a_{ij}| $$

    Args:
      maps: one map per image.

    Returns:
      Maps in [-1, 1] with the same signs. A map that `status` does not call ok is
      all zeros: nothing is drawn from it.

    Example:
      >>> symmetric(jnp.array([[[-1.0, 0.0, 4.0]]]))
      Array([[[-0.25,  0.  ,  1.  ]]], dtype=float32)
    """
    good = (status(maps) == 0)[:, None, None]
    peak = jnp.abs(maps).max((1, 2), keepdims=True)
    # The reciprocal of a huge peak would be subnormal, and flushed to zero.
    unit = jnp.where(peak > 1, 0.0625, 1).astype(maps.dtype)
    return jnp.where(good, (maps * unit) / jnp.where(good, peak * unit, 1), 0)


def clip_percentile(
    maps: Float[Array, "n i j"], *, percentile: float = 99.0
) -> Float[Array, "n i j"]:
    """Each map with its few largest magnitudes cut to a percentile of them all.

    A map whose percentile is zero (fewer cells than the rest are not zero) is
    left as it is, for cutting would empty it.

    Args:
      maps: one map per image.
      percentile: share of magnitudes that stay, in percent, interpolated
        linearly.

    Returns:
      Maps with the same signs.

    Raises:
      ValueError: if `percentile` is not in (0, 100].

    Example:
      >>> clip_percentile(jnp.array([[[1.0, -2.0, 9.0]]]), percentile=50)
      Array([[[ 1., -2.,  2.]]], dtype=float32)
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"`percentile` must be in (0, 100], got {percentile}.")
    sizes = jnp.abs(maps)
    limit = jnp.percentile(sizes, percentile, axis=(1, 2), keepdims=True)
    return jnp.where(limit > 0, jnp.clip(maps, -limit, limit), maps)


def status(maps: Float[Array, "n *axes"]) -> Int[Array, " n"]:
    """Whether each map can be drawn: an index into `STATUSES`.

    Args:
      maps: one map per image, of any rank.

    Returns:
      0 where it can; 1 where every value is zero, or too small to be divided by
      (below the smallest normal number); 2 where a value is NaN or infinite.

    Example:
      >>> [STATUSES[s] for s in status(jnp.array([[1.0], [0.0], [jnp.nan]]))]
      ['ok', 'all zero', 'not finite']
    """
    axes = tuple(range(1, maps.ndim))
    finite = jnp.isfinite(maps).all(axes)
    zero = (jnp.abs(maps) < jnp.finfo(maps.dtype).tiny).all(axes)
    return jnp.where(finite, jnp.where(zero, 1, 0), 2)
