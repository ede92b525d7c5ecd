"""Which sites of a model to explain."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax

from xattr._checks import check_count
from xattr._types import Images, Predictor
from xattr.graph._grids import grid_of
from xattr.program import Site, sites, split_at


def default_sites(
    model: Predictor, images: Images | jax.ShapeDtypeStruct, *, num: int = 3
) -> tuple[str, ...]:
    """Sites for the layers of a graph: what the coarsest maps hold before their ReLU.

    Of each size of map, the last value that all above it rests on alone: the output of
    a stage of blocks, not what a block computes beside its skip connection. If that is
    the result of a ReLU, the value before; if there is no such value, the last map of
    that size. Tokens are maps of their patches. Maps of one cell, and those that are
    just padded, are left out.

    The model is read, not run: images may be `jax.ShapeDtypeStruct`.

    Args:
      model: function from a batch of images to outputs.
      images: a batch of the shape and type that the model takes.
      num: sizes of map at most.

    Returns:
      Exact names, the top layer first. Fewer than `num` if there are fewer sizes.

    Raises:
      ValueError: if no site is spatial, or `num` is less than 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def model(x):
      ...     x = jax.lax.conv_general_dilated(
      ...         x, jnp.ones((3, 3, 3, 4)), (2, 2), "SAME",
      ...         dimension_numbers=("NHWC", "HWIO", "NHWC"))
      ...     return jax.nn.relu(x + 1).mean((1, 2))
      >>> default_sites(model, jnp.ones((1, 8, 8, 3)))
      ('add:0',)

    References:
      [zhang2018interpreting].
    """
    check_count("num", num)
    shape: Any = jax.ShapeDtypeStruct(images.shape, images.dtype)
    known = sites(model, shape)
    maps: dict[tuple[int, int], list[Site]] = {}
    for site in known:
        grid = grid_of(site, known)
        if grid is not None and site.operation != "pad":
            maps.setdefault(grid, []).append(site)
    if not maps:
        raise ValueError(
            "`model` has no site with a spatial grid. See what it has with "
            "`xattr.sites(model, images)`."
        )
    coarsest = sorted(maps, key=lambda grid: grid[0] * grid[1])[:num]
    return tuple(_last(model, shape, maps[grid]).name for grid in coarsest)


def _last(model: Predictor, shape: Any, maps: Sequence[Site]) -> Site:
    alone = _passed_alone(model, shape, maps)
    last = next(alone, maps[-1])
    if last.operation in ("relu", "relu6"):
        # All above the ReLU rests on its operand too, and nothing stands between them.
        return next(alone, last)
    return last


def _passed_alone(model: Predictor, shape: Any, maps: Sequence[Site]) -> Iterator[Site]:
    """The values that nothing is carried around, the last one first."""
    for site in reversed(maps):
        _, carried = jax.eval_shape(split_at(model, shape, site.name).below, shape)
        if not carried:
            yield site
