"""How each operation is done on parts of its operands.

An operation without a rule here is evaluated whole, so that what is not known costs
time and never the right answer.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from xattr.program._axes import reshaped_groups
from xattr.program._sliding import SLIDING
from xattr.program._spans import (
    Cut,
    Local,
    Reader,
    Region,
    cuts_of,
    extents,
    shape_of,
    span,
)
from xattr.program._trace import run_equation


def local(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    """How an operation is done on parts, None for an operand that nothing reaches.

    None if it can't be: then it has to be evaluated whole.
    """
    name = equation.primitive.name
    if any(0 in shape_of(variable) for variable in equation.outvars):
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
    return len(shape_of(atom)) == len(shape) and shape_of(atom)[axis] == shape[axis]


def _elementwise(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    shape = shape_of(equation.outvars[0])
    joined = _union(equation, regions, shape)
    taken = cuts_of(joined)

    def evaluate(reader: Reader) -> list[Any]:
        operands = [
            reader(place, _narrowed(taken, shape_of(atom), shape))
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
    shape = extents(shape_of(equation.outvars[0]), made)

    def evaluate(reader: Reader) -> list[Any]:
        return [run(reader(0, cuts_of(given)), shape)]

    return Local((made,), evaluate, ((0, None),))


def _transpose(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    order = equation.params["permutation"]
    places = {axis: place for place, axis in enumerate(order)}
    return _moved(
        equation, regions[0], places, lambda x, _: jax.lax.transpose(x, order)
    )


def _reshape(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    before, after = shape_of(equation.invars[0]), shape_of(equation.outvars[0])
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
    kept = [i for i in range(len(shape_of(equation.invars[0]))) if i not in dropped]
    places = {axis: place for place, axis in enumerate(kept)}
    return _moved(equation, regions[0], places, lambda x, shape: x.reshape(shape))


def _broadcast(equation: Any, regions: Sequence[Region | None]) -> Local | None:
    kept = equation.params["broadcast_dimensions"]
    before, after = shape_of(equation.invars[0]), shape_of(equation.outvars[0])
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
    joined = _union(equation, regions, shape_of(equation.invars[0]))
    # Along the other axes the operands may have different sizes.
    joined = {axis: joined[axis] for axis in axes}
    taken = cuts_of(joined)

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
    kept = [i for i in range(len(shape_of(equation.invars[0]))) if i not in dropped]
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
    free = [i for i in range(len(shape_of(equation.invars[side]))) if i not in bound]
    offset = len(batch[0])
    if side == 1:
        first = shape_of(equation.invars[0])
        offset += len(first) - len(contracted[0]) - len(batch[0])
    made = {offset + free.index(axis): each for axis, each in given.items()}

    def evaluate(reader: Reader) -> list[Any]:
        operands = [reader(i, cuts_of(given) if i == side else {}) for i in (0, 1)]
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
    **SLIDING,
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
