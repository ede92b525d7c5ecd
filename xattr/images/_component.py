"""Connected parts of masks."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


def component(
    masks: Bool[Array, "n h w"], pixels: Int[Array, "n 2"], *, neighbors: int = 4
) -> Bool[Array, "n h w"]:
    """The connected part of each mask that holds a pixel.

    Args:
      masks: one mask per image.
      pixels: row and column of a pixel of each.
      neighbors: 4, where pixels touch by their sides, or 8, by their corners too.

    Returns:
      True in the part that holds the pixel; nowhere if the pixel is not in the mask.

    Raises:
      ValueError: if `neighbors` is neither 4 nor 8.

    Example:
      >>> mask = jnp.array([[[1, 1, 0, 1], [0, 0, 1, 0]]], bool)
      >>> component(mask, jnp.array([[0, 1]])).astype(int)
      Array([[[1, 1, 0, 0],
              [0, 0, 0, 0]]], dtype=int32)
      >>> component(mask, jnp.array([[0, 1]]), neighbors=8).astype(int)
      Array([[[1, 1, 0, 1],
              [0, 0, 1, 0]]], dtype=int32)

    Notes:
      Whole lines are filled at once, rows and columns in turn, until nothing changes:
      as many turns as the part has bends. Works under `jax.jit`.
    """
    if neighbors not in (4, 8):
        raise ValueError(
            f"`neighbors`={neighbors} is no way for pixels to touch. Allowed: 4, 8."
        )
    seeds = one_pixel(masks.shape[1:], pixels) & masks

    def grown(found: Array) -> Array:
        if neighbors == 8:
            found = _with_corners(found) & masks
        return _along(_along(found, masks, axis=1), masks, axis=2)

    def changed(state: tuple[Array, Array]) -> Array:
        return (state[0] != state[1]).any()

    def turn(state: tuple[Array, Array]) -> tuple[Array, Array]:
        return state[1], grown(state[1])

    return jax.lax.while_loop(changed, turn, (seeds, grown(seeds)))[1]


def one_pixel(size: tuple[int, ...], pixels: Int[Array, "n 2"]) -> Bool[Array, "n h w"]:
    """True at one pixel of each image; nowhere if it is outside."""
    rows, columns = (
        jnp.arange(length)[None] == places[:, None]
        for length, places in zip(size, pixels.T, strict=True)
    )
    return rows[:, :, None] & columns[:, None, :]


def _along(found: Array, masks: Array, axis: int) -> Array:
    """All pixels that a found one reaches along an axis without leaving the mask."""
    places = jax.lax.broadcasted_iota(jnp.int32, masks.shape, axis)
    reached = found
    for reverse, steps in ((False, places), (True, masks.shape[axis] - 1 - places)):
        last_found, last_gap = (
            jax.lax.cummax(jnp.where(where, steps, -1), axis, reverse)
            for where in (found, ~masks)
        )
        reached |= masks & (last_found > last_gap)
    return reached


def _with_corners(found: Array) -> Array:
    """Found pixels and their eight neighbors."""
    return jax.lax.reduce_window(
        found, False, jax.lax.bitwise_or, (1, 3, 3), (1, 1, 1), "SAME"
    )
