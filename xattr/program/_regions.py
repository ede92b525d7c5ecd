"""Which part of every value a local change of the images reaches, step by step.

For each axis of a value: the interval that a change reaches, for all changes at once,
and a cut of one static length that holds it. What is outside is as on the clean images.
An operation without a rule here is evaluated whole, so that what is not known costs
time and never the right answer.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from xattr.program._axes import reshaped_groups
from xattr.program._convolution import convolution, fastest
from xattr.program._trace import run_equation

Ints = np.ndarray


class Span(NamedTuple):
    """What changes reach along one axis.

    Attributes:
      low, high: first entry reached and first after it, for every change.
      start: where the cut begins, for every change.
      extent: length of the cut.
    """

    low: Ints
    high: Ints
    start: Ints
    extent: int


# Axes that are not named are held whole, and each entry may be reached by any change.
Region = dict[int, Span]


class Cut(NamedTuple):
    """Part of one axis: its start for every change, and its length."""

    start: Ints
    extent: int


class Border(NamedTuple):
    """What stands around a value: entries before and after along each axis."""

    sizes: tuple[tuple[int, int], ...]
    fill: float

    def __call__(self, value: Any) -> Any:
        """The value with its border."""
        return jnp.pad(value, self.sizes, constant_values=self.fill)


# How a clean value is kept: as it is, with a border, or prepared for a convolution.
Kept = Callable[[Any], Any] | None


class Reader(Protocol):
    """Parts of an equation's operands, for one change."""

    def __call__(self, place: int, cuts: dict[int, Cut], kept: Kept = None) -> Any:
        """Operand `place` within the cuts, and whole along the other axes."""
        ...


class Local(NamedTuple):
    """How one operation is done on a part.

    Attributes:
      regions: what is reached of each result.
      evaluate: the results within their cuts.
      reads: operands of which the clean value is read, and how it is kept.
    """

    regions: tuple[Region, ...]
    evaluate: Callable[[Reader], list[Any]]
    reads: tuple[tuple[int, Kept], ...]


def span(low: Ints, high: Ints, size: int) -> Span:
    """The interval, clipped to the axis, with a cut around it."""
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    extent = max(1, int((high - low).max()))
    return Span(low, high, np.minimum(low, size - extent), extent)


def cuts(region: Region) -> dict[int, Cut]:
    """The cut along each axis of a region."""
    return {axis: Cut(each.start, each.extent) for axis, each in region.items()}


def is_whole(shape: Sequence[int], region: Region) -> bool:
    """Whether all of a value is held."""
    return extents(shape, region) == tuple(shape)


def extents(shape: Sequence[int], region: Region) -> tuple[int, ...]:
    """Shape of what is held of a value."""
    return tuple(
        region[axis].extent if axis in region else size
        for axis, size in enumerate(shape)
    )


def local(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    """How an operation is done on parts, None for an operand that nothing reaches.

    None if it can't be: then it has to be evaluated whole.
    """
    name = equation.primitive.name
    if any(0 in _shape(variable) for variable in equation.outvars):
        return None
    if name in _ELEMENTWISE:
        return _elementwise(equation, regions)
    rule = _RULES.get(name)
    return rule(equation, regions) if rule is not None else None


def multiply_adds(equation: Any, shapes: Sequence[Sequence[int]]) -> int:
    """Multiply-adds of a convolution or product whose first result has that shape."""
    name = equation.primitive.name
    if name == "conv_general_dilated":
        dims = equation.params["dimension_numbers"]
        kernel = equation.invars[1].aval.shape
        return math.prod(shapes[0]) * math.prod(kernel[i] for i in dims.rhs_spec[1:])
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return math.prod(shapes[0]) * math.prod(left[i] for i in contracted)
    return 0


def _shape(atom: Any) -> tuple[int, ...]:
    return atom.aval.shape


def _union(
    equation: Any, regions: Sequence[Region | None], shape: tuple[int, ...]
) -> Region:
    """What operands of the result's own axes reach together."""
    reached = [
        {axis: each[axis] for axis in each if _has_axis(atom, axis, shape)}
        for each, atom in zip(regions, equation.invars, strict=True)
        if each is not None
    ]
    spans: Region = {}
    for axis in set.intersection(*(set(each) for each in reached)):
        parts = [each[axis] for each in reached]
        # What reaches nothing must not widen the union.
        empty = [part.high <= part.low for part in parts]
        lows = [
            np.where(e, shape[axis], p.low) for e, p in zip(empty, parts, strict=True)
        ]
        highs = [np.where(e, 0, p.high) for e, p in zip(empty, parts, strict=True)]
        low, high = np.min(lows, axis=0), np.max(highs, axis=0)
        low = np.where(high <= low, 0, low)
        spans[axis] = span(low, np.maximum(high, low), shape[axis])
    return spans


def _has_axis(atom: Any, axis: int, shape: tuple[int, ...]) -> bool:
    """Whether an operand has an axis of the result, rather than one entry for all."""
    return len(_shape(atom)) == len(shape) and _shape(atom)[axis] == shape[axis]


def _elementwise(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    shape = _shape(equation.outvars[0])
    joined = _union(equation, regions, shape)
    taken = cuts(joined)

    def evaluate(reader: Reader) -> list[Any]:
        operands = [
            reader(place, _narrowed(taken, _shape(atom), shape))
            for place, atom in enumerate(equation.invars)
        ]
        return run_equation(equation, operands)

    return Local(
        (joined,) * len(equation.outvars),
        evaluate,
        tuple((place, None) for place in range(len(equation.invars))),
    )


def _narrowed(
    taken: dict[int, Cut], shape: tuple[int, ...], full: tuple[int, ...]
) -> dict[int, Cut]:
    """Cuts of an operand that may be a scalar, or of size one along an axis."""
    if len(shape) != len(full):
        return {}
    return {axis: cut for axis, cut in taken.items() if shape[axis] == full[axis]}


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
        taps = _shape(equation.invars[1])[dims.rhs_spec[2 + i]]
        reach = (taps - 1) * params["rhs_dilation"][i] + 1
        window = _Sliding(reach, params["window_strides"][i], params["padding"][i][0])
        place = dims.out_spec[2 + i]
        windows[axis] = (window, place, _shape(equation.outvars[0])[place])
        sizes[axis] = params["padding"][i]
    border = Border(tuple(sizes), 0.0)
    made, needed = _sliding(given, windows)
    padded = convolution(equation)._replace(padding=((0, 0),) * len(spatial))

    part = jax.ShapeDtypeStruct(
        [
            needed[i].extent if i in needed else size + sum(sizes[i])
            for i, size in enumerate(_shape(equation.invars[0]))
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
        windows[axis] = (window, axis, _shape(equation.outvars[0])[axis])
    if any(side < 0 for pad in params["padding"] for side in pad):
        return None
    combine, start = _POOLS[equation.primitive.name]
    fill = start(equation.invars[0].aval.dtype)
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
    shape = _shape(equation.outvars[0])
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
    shape = _shape(equation.outvars[0])
    made = {
        axis: span(each.low + config[axis][0], each.high + config[axis][0], shape[axis])
        for axis, each in given.items()
    }
    literal = getattr(equation.invars[1], "val", None)
    if literal is None:
        return None
    border = Border(tuple((low, high) for low, high, _ in config), float(literal))

    def evaluate(reader: Reader) -> list[Any]:
        return [reader(0, cuts(made), border)]

    return Local((made,), evaluate, ((0, border),))


def _moved(
    equation: Any,
    given: Region | None,
    places: dict[int, int],
    run: Callable[[Any, tuple[int, ...]], Any],
) -> Local | None:
    """An operation that gives axes other places and leaves their entries in order."""
    if given is None or not set(given) <= set(places):
        return None
    made = {places[axis]: each for axis, each in given.items()}
    shape = extents(_shape(equation.outvars[0]), made)

    def evaluate(reader: Reader) -> list[Any]:
        return [run(reader(0, cuts(given)), shape)]

    return Local((made,), evaluate, ((0, None),))


def _transpose(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    order = equation.params["permutation"]
    places = {axis: place for place, axis in enumerate(order)}
    return _moved(
        equation, regions[0], places, lambda x, _: jax.lax.transpose(x, order)
    )


def _reshape(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    before, after = _shape(equation.invars[0]), _shape(equation.outvars[0])
    if equation.params.get("dimensions") is not None:
        return None
    places = {}
    for sources, targets in reshaped_groups(before, after):
        wide = [i for i in sources if before[i] != 1]
        wide_after = [j for j in targets if after[j] != 1]
        if len(wide) == len(wide_after) == 1:
            places[wide[0]] = wide_after[0]
    return _moved(equation, regions[0], places, lambda x, shape: x.reshape(shape))


def _squeeze(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    dropped = equation.params["dimensions"]
    kept = [i for i in range(len(_shape(equation.invars[0]))) if i not in dropped]
    places = {axis: place for place, axis in enumerate(kept)}
    return _moved(equation, regions[0], places, lambda x, shape: x.reshape(shape))


def _broadcast(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    kept = equation.params["broadcast_dimensions"]
    before, after = _shape(equation.invars[0]), _shape(equation.outvars[0])
    places = {i: place for i, place in enumerate(kept) if before[i] == after[place]}
    return _moved(
        equation,
        regions[0],
        places,
        lambda x, shape: jax.lax.broadcast_in_dim(x, shape, kept),
    )


def _concatenate(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    axis = equation.params["dimension"]
    if any(each is not None and axis in each for each in regions):
        return None
    return _elementwise_along(equation, regions)


def _elementwise_along(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    """Operations that see each position alone, whatever they do along other axes."""
    reached = [each for each in regions if each is not None]
    axes = set.intersection(*(set(each) for each in reached))
    joined = _union(equation, regions, _shape(equation.invars[0]))
    # Along the other axes the operands may have different sizes.
    joined = {axis: joined[axis] for axis in axes}
    taken = cuts(joined)

    def evaluate(reader: Reader) -> list[Any]:
        operands = [reader(place, taken) for place in range(len(equation.invars))]
        return run_equation(equation, operands)

    return Local(
        (joined,) * len(equation.outvars),
        evaluate,
        tuple((place, None) for place in range(len(equation.invars))),
    )


def _along(parameter: str) -> Callable[..., Local | None]:
    """Rule of an operation along some axes that keeps all axes."""

    def rule(equation: Any, regions: Sequence[Region | None]) -> Local | None:
        (given,) = regions
        axes = equation.params[parameter]
        axes = axes if isinstance(axes, tuple) else (axes,)
        if given is None or any(axis in given for axis in axes):
            return None
        return _elementwise_along(equation, regions)

    return rule


def _reduce(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    (given,) = regions
    dropped = equation.params["axes"]
    if given is None or any(axis in given for axis in dropped):
        return None
    kept = [i for i in range(len(_shape(equation.invars[0]))) if i not in dropped]
    places = {axis: place for place, axis in enumerate(kept)}
    return _moved(equation, given, places, lambda x, _: run_equation(equation, [x])[0])


def _dot(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    contracted, batch = equation.params["dimension_numbers"]
    changed = [i for i, each in enumerate(regions) if each is not None]
    if len(changed) != 1:
        return None
    (side,) = changed
    given = regions[side] or {}
    bound = (*contracted[side], *batch[side])
    if any(axis in given for axis in bound):
        return None
    free = [i for i in range(len(_shape(equation.invars[side]))) if i not in bound]
    offset = len(batch[0])
    if side == 1:
        first = _shape(equation.invars[0])
        offset += len(first) - len(contracted[0]) - len(batch[0])
    made = {offset + free.index(axis): each for axis, each in given.items()}

    def evaluate(reader: Reader) -> list[Any]:
        operands = [reader(i, cuts(given) if i == side else {}) for i in (0, 1)]
        return run_equation(equation, operands)

    return Local((made,), evaluate, ((0, None), (1, None)))


_ELEMENTWISE = {
    *("abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan"),
    *("atan2", "atanh", "cbrt", "ceil", "clamp", "convert_element_type", "copy"),
    *("copy_p", "cos", "cosh", "digamma", "div", "eq", "erf", "erf_inv", "erfc"),
    *("exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le"),
    *("lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg"),
    *("nextafter", "not", "or", "pow", "reduce_precision", "rem", "round", "rsqrt"),
    *("select_n", "sign", "sin", "sinh", "sqrt", "square", "sub"),
    *("tan", "tanh", "xor"),
}

_RULES: dict[str, Callable[[Any, Sequence[Region | None]], Local | None]] = {
    "conv_general_dilated": _conv,
    "reduce_window_max": _pool,
    "reduce_window_min": _pool,
    "reduce_window_sum": _pool,
    "slice": _slice,
    "pad": _pad,
    "transpose": _transpose,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "rev": _along("dimensions"),
    "split": _along("axis"),
    "cumsum": _along("axis"),
    "cumprod": _along("axis"),
    "cummax": _along("axis"),
    "cummin": _along("axis"),
    "reduce_sum": _reduce,
    "reduce_max": _reduce,
    "reduce_min": _reduce,
    "reduce_prod": _reduce,
    "reduce_and": _reduce,
    "reduce_or": _reduce,
    "argmax": _reduce,
    "argmin": _reduce,
    "dot_general": _dot,
}
