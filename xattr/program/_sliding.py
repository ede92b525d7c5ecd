"""Windows that slide: convolutions, pooling, slices and padding on parts of values."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xattr.program._convolution import convolution, fastest
from xattr.program._spans import (
    Border,
    Cut,
    Local,
    Reader,
    Region,
    Span,
    cuts_of,
    shape_of,
    span,
)


class _Sliding(NamedTuple):
    """A window of an operation along one axis: its taps, steps and padding."""

    taps: int
    step: int
    before: int

    def reached(self, given: Span, size: int) -> Span:
        low = -((self.taps - 1 - given.low - self.before) // self.step)
        high = (given.high - 1 + self.before) // self.step + 1
        none = given.high <= given.low
        low, high = np.where(none, 0, low), np.where(none, 0, high)
        low = np.clip(low, 0, size)
        return span(low, np.maximum(high, low), size)

    def needed(self, made: Span) -> Cut:
        """What of the padded operand is read for a part of the result."""
        return Cut(made.start * self.step, (made.extent - 1) * self.step + self.taps)


def _sliding(
    given: Region,
    windows: dict[int, tuple[_Sliding, int, int]],
) -> tuple[Region, dict[int, Cut]]:
    """Region of the result, and cuts of the padded operand.

    `windows` has, for each axis of the operand that is slid along: the window, the
    result's axis and its size.
    """
    made: Region = {}
    needed: dict[int, Cut] = {}
    for axis, (window, place, size) in windows.items():
        if axis in given:
            made[place] = window.reached(given[axis], size)
            needed[axis] = window.needed(made[place])
    return made, needed


def _conv(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    params = equation.params
    given, kernel = regions
    dims = params["dimension_numbers"]
    spatial = dims.lhs_spec[2:]
    dilated = any(d != 1 for d in params["lhs_dilation"])
    cropped = any(side < 0 for pad in params["padding"] for side in pad)
    if given is None or kernel is not None or dilated or cropped:
        return None
    if params["batch_group_count"] != 1 or not set(given) <= set(spatial):
        return None
    windows = {}
    sizes = [(0, 0)] * len(dims.lhs_spec)
    for i, axis in enumerate(spatial):
        taps = shape_of(equation.invars[1])[dims.rhs_spec[2 + i]]
        reach = (taps - 1) * params["rhs_dilation"][i] + 1
        window = _Sliding(reach, params["window_strides"][i], params["padding"][i][0])
        place = dims.out_spec[2 + i]
        windows[axis] = (window, place, shape_of(equation.outvars[0])[place])
        sizes[axis] = params["padding"][i]
    border = Border(tuple(sizes), 0.0)
    made, needed = _sliding(given, windows)
    padded = convolution(equation)._replace(padding=((0, 0),) * len(spatial))

    part = jax.ShapeDtypeStruct(
        [
            needed[i].extent if i in needed else size + sum(sizes[i])
            for i, size in enumerate(shape_of(equation.invars[0]))
        ],
        equation.invars[0].aval.dtype,
    )
    form = fastest(part, equation.invars[1].aval, padded)

    def evaluate(reader: Reader) -> list[Any]:
        images, kernel = reader(0, needed, border), reader(1, {}, form.prepare)
        return [form.run(images, kernel, padded)]

    return Local((made,), evaluate, ((0, border), (1, form.prepare)))


def _pool(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    params = equation.params
    (given,) = regions
    if set(params["base_dilation"]) != {1} or given is None:
        return None
    windows = {}
    for axis in range(len(params["window_dimensions"])):
        reach = (params["window_dimensions"][axis] - 1) * params["window_dilation"][
            axis
        ] + 1
        window = _Sliding(
            reach, params["window_strides"][axis], params["padding"][axis][0]
        )
        windows[axis] = (window, axis, shape_of(equation.outvars[0])[axis])
    if any(side < 0 for pad in params["padding"] for side in pad):
        return None
    dtype = equation.invars[0].aval.dtype
    if jnp.issubdtype(dtype, jnp.bool_):
        return None
    combine, start = _POOLS[equation.primitive.name]
    fill = start(dtype)
    border = Border(tuple(params["padding"]), fill)
    made, needed = _sliding(given, windows)

    def evaluate(reader: Reader) -> list[Any]:
        operand = reader(0, needed, border)
        pooled = jax.lax.reduce_window(
            operand,
            np.array(fill, operand.dtype),
            combine,
            params["window_dimensions"],
            params["window_strides"],
            [(0, 0)] * operand.ndim,
            window_dilation=params["window_dilation"],
        )
        return [pooled]

    return Local((made,), evaluate, ((0, border),))


def _lowest(dtype: Any) -> float:
    return -math.inf if jnp.issubdtype(dtype, jnp.inexact) else np.iinfo(dtype).min


def _highest(dtype: Any) -> float:
    return math.inf if jnp.issubdtype(dtype, jnp.inexact) else np.iinfo(dtype).max


_POOLS: dict[str, tuple[Any, Callable[[Any], float]]] = {
    "reduce_window_max": (jax.lax.max, _lowest),
    "reduce_window_min": (jax.lax.min, _highest),
    "reduce_window_sum": (jax.lax.add, lambda dtype: 0),
}


def _slice(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    params = equation.params
    (given,) = regions
    if given is None:
        return None
    shape = shape_of(equation.outvars[0])
    steps = params["strides"] or (1,) * len(shape)
    starts = params["start_indices"]
    windows = {
        axis: (_Sliding(1, steps[axis], -starts[axis]), axis, shape[axis])
        for axis in range(len(shape))
    }
    made, needed = _sliding(given, windows)
    # Coordinates of the operand itself, which no border shifts.
    shifted = {
        axis: Cut(cut.start + starts[axis], cut.extent) for axis, cut in needed.items()
    }

    def evaluate(reader: Reader) -> list[Any]:
        part = reader(0, shifted)
        for axis in range(len(shape)):
            low, high = (
                (0, None)
                if axis in shifted
                else (
                    starts[axis],
                    params["limit_indices"][axis],
                )
            )
            part = jax.lax.slice_in_dim(part, low, high, steps[axis], axis)
        return [part]

    return Local((made,), evaluate, ((0, None),))


def _pad(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    given, fill = regions
    config = equation.params["padding_config"]
    if given is None or fill is not None:
        return None
    if any(low < 0 or high < 0 or inner for low, high, inner in config):
        return None
    shape = shape_of(equation.outvars[0])
    made = {
        axis: span(each.low + config[axis][0], each.high + config[axis][0], shape[axis])
        for axis, each in given.items()
    }
    literal = getattr(equation.invars[1], "val", None)
    if literal is None:
        return None
    border = Border(tuple((low, high) for low, high, _ in config), float(literal))

    def evaluate(reader: Reader) -> list[Any]:
        return [reader(0, cuts_of(made), border)]

    return Local((made,), evaluate, ((0, border),))


SLIDING: dict[str, Callable[[Any, Sequence[Region | None]], Local | None]] = {
    "conv_general_dilated": _conv,
    "reduce_window_max": _pool,
    "reduce_window_min": _pool,
    "reduce_window_sum": _pool,
    "slice": _slice,
    "pad": _pad,
}
