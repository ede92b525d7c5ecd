"""Activations of many images, in units of how much other images make them vary."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from xattr._compile import compiled
from xattr._types import Images, Predictor
from xattr.graph._batches import Batches, activations, check_finite, filled_up, listed
from xattr.graph._graph import Features

_LEVELS = 255


def extract(
    model: Predictor,
    batches: Batches,
    sites: str | Sequence[str],
    std: Mapping[str, Float[Array | np.ndarray, "h w d"]],
) -> dict[str, Features]:
    r"""Activations of images in units of `std`, as one byte each.

    With $x$ the activation and $s$ the `std` of a unit, and $q_d$ the largest of its
    channel in all images, divided by 255:

    $$ \max(x / s, 0) \approx q_d \cdot \text{level} $$

    Memory is that of the features, of a batch, and at the end of one site once more.

    Args:
      model: function from a batch of images to outputs.
      batches: of the images to explain. The last one may be smaller; all run by one
        program.
      sites: exact names or module paths of spatial activations, from the top layer
        down; one name stands for a list of one.
      std: of each unit of each site, as `unit_std` returns it.

    Returns:
      The features of each site, under the name that was asked for, the images in their
      order. They differ from the exact ones by no more than one `step`, since levels
      are rounded once in each batch and once at the end; what is below half a step may
      be 0. Negative ones are 0, and so are those of units whose `std` is 0.

    Raises:
      ValueError: if there is no image, `std` is not that of the sites, an activation is
        not finite, or a site is unknown, not spatial or in the wrong order.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.lax.conv_general_dilated(
      ...     x, jnp.ones((1, 1, 1, 1)), (1, 1), "SAME",
      ...     dimension_numbers=("NHWC", "HWIO", "NHWC"))
      >>> x = jnp.array([[[[-1.0], [102.0]]], [[[2.0], [510.0]]]])
      >>> std = {"conv:0": 2 * jnp.ones((1, 2, 1))}
      >>> features = extract(model, [x], "conv:0", std)["conv:0"]
      >>> features.step
      Array([1.], dtype=float32)
      >>> features.levels[..., 0].tolist()
      [[[0, 51]], [[1, 255]]]

    References:
      [zhang2018interpreting].

    Notes:
      The authors' code keeps -1 in the place of what is not positive, and spreads the
      levels from the smallest value to the largest: what counts in both is the same.
    """
    names = listed(sites)
    if missing := [name for name in names if name not in std]:
        raise ValueError(
            f"`std` has no {missing[0]!r}, but {', '.join(map(repr, std)) or 'nothing'}"
            f"; it must hold each of `sites`: `unit_std(model, batches, sites)`."
        )
    scales = {name: jnp.asarray(std[name]) for name in names}
    total = 0
    parts: dict[str, list[_Part]] = {name: [] for name in names}
    for images, count in filled_up(batches):
        found, finite = _extract(model, images, scales, sites=names)
        check_finite(finite, total, count)
        for name, (levels, step) in found.items():
            parts[name].append(_Part(np.asarray(levels)[:count], np.asarray(step)))
        total += count
    if total == 0:
        raise ValueError(
            "`batches` gave no image; there must be at least 1. An iterator gives its "
            "images once: make it anew for each function."
        )
    return {name: _joined(parts.pop(name), total) for name in names}


def mass(
    features: Features, index: int | slice | Int[Array, " k"] | None = None
) -> Float[Array, "*i h w d"]:
    """How active units are, as numbers; never negative where levels are bytes.

    Args:
      features: of a site.
      index: number of an image, or of several; all of them when None.

    Returns:
      Levels times the step of their channel, in standard deviations of the unit.

    Example:
      >>> levels = jnp.array([0, 1, 255, 2], jnp.uint8).reshape(2, 1, 1, 2)
      >>> mass(Features(levels, jnp.array([2.0, 0.5])), 1)
      Array([[[510.,   1.]]], dtype=float32)
    """
    levels = features.levels if index is None else features.levels[index]
    return levels * jnp.broadcast_to(features.step, levels.shape)


class _Part(NamedTuple):
    """Features of a batch."""

    levels: UInt8[np.ndarray, "n h w d"]
    step: Float[np.ndarray, " d"]


@compiled
def _extract(
    model: Predictor,
    images: Images,
    std: dict[str, Float[Array, "h w d"]],
    *,
    sites: tuple[str, ...],
) -> tuple[dict[str, tuple[Array, Array]], dict[str, Bool[Array, ""]]]:
    grids, finite = activations(model, images, sites)

    def of_site(name: str) -> tuple[UInt8[Array, "n h w d"], Float[Array, " d"]]:
        grid, scale = grids[name], std[name]
        if grid.shape[1:] != scale.shape:
            raise ValueError(
                f"`std` has shape {scale.shape} for {name!r}, whose units are "
                f"{grid.shape[1:]}; both must be of the same model and size of image: "
                f"`unit_std(model, batches, sites)`."
            )
        scale = scale.astype(grid.dtype)[None]
        varies = scale > 0
        ratio = jnp.where(varies, grid / jnp.where(varies, scale, 1), 0)
        active = jnp.maximum(ratio, 0)
        step = active.max((0, 1, 2)) / _LEVELS
        unit = jnp.where(step > 0, step, 1)[None, None, None]
        return jnp.round(active / unit).astype(jnp.uint8), step

    return {name: of_site(name) for name in sites}, finite


def _joined(parts: list[_Part], total: int) -> Features:
    """All batches at the step of the channel's maximum; what is done with is freed."""
    step = np.max([part.step for part in parts], axis=0)
    levels = np.empty((total, *parts[0].levels.shape[1:]), np.uint8)
    unit = np.where(step > 0, step, 1)
    end = total
    while parts:
        part = parts.pop()
        start = end - len(part.levels)
        levels[start:end] = np.rint(part.levels * (part.step / unit))
        end = start
    return Features(jnp.asarray(levels), jnp.asarray(step))
