"""Which pixels a unit of a model depends on."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from xattr._types import Images, Predictor
from xattr.program._edit import record
from xattr.program._flat import flatten
from xattr.program._sites import read
from xattr.program._trace import trace
from xattr.program._window import Boxes, Plan


def receptive_field(
    model: Predictor,
    images: Images,
    site: str,
    unit: Sequence[int],
    *,
    axes: str | None = None,
) -> tuple[tuple[int, int], ...]:
    """The part of the images that a unit of a site depends on.

    Args:
      model: function from a batch of images to outputs.
      images: a batch of the shape and type that the model takes; may be abstract.
      site: exact name or module path of the activation.
      unit: its place along the site's spatial axes, rows first.
      axes: which axis of the site is which, such as `nhwc`; read from the model when
        None.

    Returns:
      For each spatial axis of the images, the first entry that the unit may depend on
      and the first after the last; twice the same where there is none.
      All of the axis where the site mixes positions in a way that is not known.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, its axes can't be
        read, or the unit lies outside of it.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def model(x):
      ...     pooled = jax.lax.reduce_window(
      ...         x, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 2, 2, 1), "VALID"
      ...     )
      ...     return jax.nn.relu(pooled).sum((1, 2))
      >>> images = jnp.ones((1, 9, 9, 1))
      >>> receptive_field(model, images, "sum_pool:0", (0, 2), axes="nhwc")
      ((0, 3), (4, 7))

    References:
      [zeiler2014visualizing] shows such parts for the strongest units.
    """
    one = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
    if not 3 <= images.ndim <= 5:
        raise ValueError(
            f"`images` has shape {images.shape}; it must be `n h w c`, or have one "
            f"spatial axis less or more."
        )
    letters = "dhw"[5 - images.ndim :]
    found = read(trace(model, one)).select(site)
    places = _places(found.axes if axes is None else axes, site, letters)
    flat = flatten(trace(lambda x: record(model, x, site)[site], one), one)
    activation: Any = flat.jaxpr.outvars[0]
    shape = activation.aval.shape
    sizes = tuple(shape[axis] for axis in places)
    if len(unit) != len(sizes) or not all(
        0 <= u < s for u, s in zip(unit, sizes, strict=True)
    ):
        raise ValueError(
            f"`unit`={tuple(unit)}; `site`={site!r} has {sizes} places, so that it "
            f"must be a number below each: `unit={tuple(s // 2 for s in sizes)}`."
        )
    return tuple(
        _reaching(flat.jaxpr, 1 + i, axis, place)
        for i, (axis, place) in enumerate(zip(places, unit, strict=True))
    )


def _places(axes: str, site: str, letters: str) -> tuple[int, ...]:
    """Where the spatial axes stand."""
    if any(axes.count(letter) != 1 for letter in letters):
        raise ValueError(
            f"`site`={site!r} has axes {axes!r}; a receptive field needs one for each "
            f"of {letters!r}. Say which axis is which with `axes=`, for example "
            f"`axes='nhwc'`, or choose a site with `xattr.sites(model, images)`."
        )
    return tuple(axes.index(letter) for letter in letters)


def _reaching(
    jaxpr: core.Jaxpr, axis: int, site_axis: int, place: int
) -> tuple[int, int]:
    """First and last entry of an axis of the images that reaches a place of a value."""
    images: Any = jaxpr.invars[0]
    shape = images.aval.shape
    size = shape[axis]
    low = np.zeros((size, len(shape) - 2), int)
    high = np.broadcast_to(shape[1:-1], low.shape).copy()
    low[:, axis - 1], high[:, axis - 1] = np.arange(size), np.arange(size) + 1
    regions = Plan(jaxpr, Boxes(low, high)).regions
    reached = regions.get(jaxpr.outvars[0])
    if reached is None:
        return 0, 0
    if site_axis not in reached:
        return 0, size
    span = reached[site_axis]
    entries = np.flatnonzero((span.low <= place) & (place < span.high))
    return (int(entries[0]), int(entries[-1]) + 1) if len(entries) else (0, 0)
