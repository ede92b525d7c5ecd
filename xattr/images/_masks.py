"""Random masks that are smooth: coarse grids of kept cells, enlarged and shifted."""

import math
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from xattr._checks import check_count

Enlarge = Literal["mirrored", "bilinear", "nearest"]


def grid_masks(
    keys: PRNGKeyArray,
    size: Sequence[int],
    *,
    grid: int = 7,
    keep: float = 0.5,
    resize: Enlarge = "mirrored",
) -> Float[Array, "m ..."]:
    r"""Masks between 0 and 1 whose cells are kept at random, each from its own key.

    With $s$ = `grid`, a grid of $s$ cells per axis, each 1 with probability `keep` and
    else 0, is enlarged to $(s + 1) \lceil H / s \rceil$ pixels, of which $H$ are taken
    from a random one of the first $\lceil H / s \rceil$ on; columns likewise. Only
    the pixels that are taken are ever computed.

    Args:
      keys: one key per mask.
      size: pixels along each axis of the mask: height and width.
      grid: cells along each axis.
      keep: probability that a cell is kept.
      resize: what pixels outside the outermost cells' centers get. Between centers
        all but `nearest` are linear. `mirrored` continues as in a mirror that stands
        in the outermost center, as the resizing of scikit-image does; `bilinear` takes
        the outermost cell, as `xattr.images.resize` does; `nearest` gives hard cells.

    Returns:
      One mask per key; the mean of a pixel over many masks is `keep`.

    Raises:
      TypeError: if `grid` is no whole number.
      ValueError: if `grid` < 1, `keep` is not above 0 and at most 1, or `resize` is
        unknown.

    Example:
      >>> keys = jax.random.split(jax.random.key(0), 3)
      >>> grid_masks(keys, (4, 6), grid=2, keep=1.0).shape
      (3, 4, 6)
      >>> float(grid_masks(keys, (4, 6), grid=2, keep=1.0).min())
      1.0

    References:
      [petsiuk2018rise], section 3.2.
    """
    _check(grid, keep, resize)

    def one(key: PRNGKeyArray) -> Float[Array, "..."]:
        own, shift = jax.random.split(key)
        cells = jax.random.bernoulli(own, keep, (grid,) * len(size)).astype(float)
        steps = jnp.array([math.ceil(length / grid) for length in size])
        offsets = jax.random.randint(shift, (len(size),), 0, steps)
        return enlarge_cells(cells, offsets, size, resize)

    return jax.vmap(one)(keys)


def enlarge_cells(
    cells: Float[Array, "..."],
    offsets: Int[Array, " axes"],
    size: Sequence[int],
    resize: Enlarge = "mirrored",
) -> Float[Array, "..."]:
    """One mask of `grid_masks`, from its cells and the first pixel along each axis."""
    mask = cells
    for axis, length in enumerate(size):
        weights = _weights(offsets[axis], length, cells.shape[axis], resize)
        # Each axis leaves at the front and comes back at the end. In full precision,
        # whatever products are set to: it is an interpolation.
        mask = jnp.tensordot(
            mask,
            weights.astype(mask.dtype),
            axes=([0], [1]),
            precision=jax.lax.Precision.HIGHEST,
        )
    return mask


def _weights(
    offset: Array, length: int, grid: int, resize: Enlarge
) -> Float[Array, "length grid"]:
    """How much each pixel takes of each cell, along one axis."""
    enlarged = (grid + 1) * math.ceil(length / grid)
    place = (offset + jnp.arange(length) + 0.5) * (grid / enlarged) - 0.5
    last = grid - 1
    if resize == "nearest":
        place = jnp.floor(place + 0.5)
    if resize == "mirrored":
        place = last - jnp.abs(last - jnp.abs(place))
    place = jnp.clip(place, 0, last)
    return jnp.maximum(1 - jnp.abs(place[:, None] - jnp.arange(grid)[None]), 0)


def _check(grid: int, keep: float, resize: str) -> None:
    check_count("grid", grid)
    if not 0 < keep <= 1:
        raise ValueError(
            f"`keep`={keep}; it must be a probability above 0: `keep=0.5`."
        )
    if resize not in ("mirrored", "bilinear", "nearest"):
        raise ValueError(
            f"`resize`={resize!r} is unknown; it must be 'mirrored', 'bilinear' or "
            f"'nearest': `resize='mirrored'`."
        )
