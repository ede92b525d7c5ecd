"""Similarity of two maps' histograms of oriented gradients."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr._checks import check_count
from xattr.metrics._similarity import pearson


@functools.partial(jax.jit, static_argnames=("orientations", "cell", "block"))
def hog_pearson(
    a: Float[Array, "n h w *c"],
    b: Float[Array, "n h w *c"],
    *,
    orientations: int = 9,
    cell: int = 16,
    block: int = 3,
) -> Float[Array, " n"]:
    r"""Whether the edges of two maps have the same directions in each part of them.

    Pearson's correlation of their histograms of oriented gradients. Each map is divided
    by its largest absolute entry; each pixel's central difference votes with its length
    for its orientation, from 0 to 180 degrees, in its cell; and each block of cells $v$
    is scaled, cut and scaled again:

    $$ v \leftarrow \min\Big(\frac{v}{\sqrt{\lVert v\rVert^2 + \epsilon^2}}, 0.2\Big),
       \qquad v \leftarrow \frac{v}{\sqrt{\lVert v\rVert^2 + \epsilon^2}},
       \qquad \epsilon = 10^{-5} $$

    Args:
      a: one map per image, `n h w`, or `n h w c`, of which each pixel takes the channel
        with the longest gradient.
      b: as many of the same shape.
      orientations: bins of a histogram.
      cell: side of a cell in pixels; what is left over at the end is left out.
      block: side of a block in cells; blocks overlap.

    Returns:
      From -1 to 1, which equal maps have. Not a number where a map is not finite or has
      no edges.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if the shapes differ, a map is smaller than a block, or a count is
        less than 1.

    Example:
      >>> rows = jnp.broadcast_to(jnp.arange(48.0)[None, :, None], (1, 48, 48))
      >>> hog_pearson(rows, -rows)  # the same orientation, not the same direction
      Array([1.], dtype=float32)

    References:
      [dalal2005histograms]; [adebayo2018sanity].

    Notes:
      As scikit-image's `hog(block_norm="L2-Hys")` on a map so divided, whose cells are
      of 8 pixels by default.
    """
    counts = {"orientations": orientations, "cell": cell, "block": block}
    for name, value in counts.items():
        check_count(name, value)
    if a.shape != b.shape or a.ndim not in (3, 4) or min(a.shape[1:3]) < cell * block:
        raise ValueError(
            f"`a` has shape {a.shape} and `b` has {b.shape}; both must be `n h w` or "
            f"`n h w c` of one shape, at least {cell * block} by {cell * block}, a "
            f"block of {block} by {block} cells. For smaller maps use smaller cells: "
            f"`cell={max(1, min(a.shape[1:3]) // block)}`."
        )
    return pearson(*(_histograms(x, orientations, cell, block) for x in (a, b)))


def _histograms(
    maps: Array, orientations: int, cell: int, block: int
) -> Float[Array, "n i j b o"]:
    x = maps.reshape(*maps.shape[:3], -1)
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    x = x / jnp.abs(x).max((1, 2, 3), keepdims=True)
    down, right = (_differences(x, axis) for axis in (1, 2))
    strongest = jnp.argmax(down**2 + right**2, axis=3, keepdims=True)
    down, right = (
        jnp.take_along_axis(d, strongest, axis=3)[..., 0] for d in (down, right)
    )
    turn = (jnp.arctan2(down, right) / jnp.pi) % 1
    # A small negative angle is rounded to a whole turn.
    bins = jnp.minimum((turn * orientations).astype(int), orientations - 1)
    votes = jnp.hypot(down, right)[..., None] * jax.nn.one_hot(bins, orientations)
    i, j = (size // cell for size in x.shape[1:3])
    votes = votes[:, : i * cell, : j * cell]
    cells = votes.reshape(-1, i, cell, j, cell, orientations).mean((2, 4))
    blocks = jnp.stack(
        [
            cells[:, y : i - block + 1 + y, z : j - block + 1 + z]
            for y in range(block)
            for z in range(block)
        ],
        axis=3,
    )
    return _scaled(jnp.minimum(_scaled(blocks), 0.2))


def _differences(x: Array, axis: int) -> Array:
    """Of the two neighbors along an axis, 0 at its ends."""
    inner = jax.lax.slice_in_dim(x, 2, None, axis=axis) - jax.lax.slice_in_dim(
        x, 0, -2, axis=axis
    )
    return jnp.pad(inner, [(int(i == axis),) * 2 for i in range(x.ndim)])


def _scaled(blocks: Array) -> Array:
    return blocks / jnp.sqrt((blocks**2).sum((3, 4), keepdims=True) + 1e-5**2)
