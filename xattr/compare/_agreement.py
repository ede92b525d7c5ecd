"""How far methods agree about an image."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Cells along a side: what methods tell apart, not their grain.
_GRID = 14


@functools.partial(jax.jit, static_argnames="grid")
def agreement(
    maps: Float[Array, "k n h w"], *, grid: int = _GRID
) -> Float[Array, "n k k"]:
    r"""Rank correlation of every two methods' maps of each image.

    Maps are shrunk to a grid of cells first, linearly: which places count is compared,
    not which pixels. Spearman's $\rho$, with the mean rank for ties.

    Args:
      maps: one map per method and image.
      grid: cells along a side.

    Returns:
      Values from -1 to 1, 1 on the diagonal; NaN for a map that is constant or not
      finite.

    Example:
      >>> maps = jnp.array([[[[1.0, 2.0]]], [[[5.0, 3.0]]]])
      >>> agreement(maps)[0, 0].round(3)
      Array([ 1., -1.], dtype=float32)
    """
    k, n, h, w = maps.shape
    cells = (k, n, min(grid, h), min(grid, w))
    coarse = jax.image.resize(maps, cells, "linear", antialias=True)
    ranks = _ranks(coarse.reshape(k, n, -1))
    ranks -= ranks.mean(-1, keepdims=True)
    length = jnp.sqrt((ranks**2).sum(-1, keepdims=True))
    # Shrinking rounds, and the ranks of what it leaves of a constant are no order.
    constant = maps.max((2, 3)) == maps.min((2, 3))
    sound = (length > 0) & (jnp.isfinite(maps).all((2, 3)) & ~constant)[..., None]
    ranks = jnp.where(sound, ranks / jnp.where(length > 0, length, 1), jnp.nan)
    return jnp.einsum("anc,bnc->nab", ranks, ranks, precision="highest")


def disagreement(agreements: Float[Array, "n k k"]) -> Float[Array, " n"]:
    """One less the mean agreement of two methods; NaN maps are left out.

    Example:
      >>> disagreement(jnp.array([[[1.0, -1.0], [-1.0, 1.0]]]))
      Array([2.], dtype=float32)
    """
    others = ~jnp.eye(agreements.shape[-1], dtype=bool)
    return 1 - jnp.nanmean(jnp.where(others, agreements, jnp.nan), axis=(1, 2))


def _ranks(values: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
    """Ranks from 0; ties get the mean of theirs."""
    below = (values[..., None, :] < values[..., :, None]).sum(-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(-1)
    return below + (equal - 1) / 2
