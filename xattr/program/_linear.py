"""Which operations of a program are linear, and where those that are not come to rest.

Linear means here that y = g'(u) u, as it is where the pieces of a piecewise linear
function go through the origin.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from xattr.program._above import leading_to
from xattr.program._trace import CONV, Equation, is_literal, operation

# Linear in all of their operands at once.
_JOINTLY = {
    "abs",
    "add",
    "add_any",
    "broadcast_in_dim",
    "concatenate",
    "convert_element_type",
    "copy",
    "cummax",
    "cummin",
    "cumsum",
    "dynamic_slice",
    "dynamic_update_slice",
    "gather",
    "max",
    "min",
    "neg",
    "pad",
    "reduce_max",
    "reduce_min",
    "reduce_precision",
    "reduce_sum",
    "reduce_window_max",
    "reduce_window_min",
    "reduce_window_sum",
    "reshape",
    "rev",
    "select_n",
    "slice",
    "sort",
    "split",
    "squeeze",
    "sub",
    "transpose",
}
# Linear in each of their operands.
_SEPARATELY = {"mul", "dot_general", "conv_general_dilated", CONV}
_RECTIFIERS = {"relu", "leaky_relu"}
# Those of them, and what adds a constant, that keep every value in its place.
_IN_PLACE = {"add", "sub", "mul", "div", "neg", "copy", "convert_element_type"}
# They keep a zero what it is.
_KEEP_ZERO = {"broadcast_in_dim", "convert_element_type", "copy", "reshape", "squeeze"}


class Linearity(NamedTuple):
    """What of a program is linear.

    Attributes:
      equations: those that the outputs rest on.
      depends: the variables through which images reach the outputs.
      loose: those that are not linear in where their operations began.
      ends: where such operations end: loose variables that are read by anything but one
        more addition or multiplication of a constant. In the order of the program, so
        that the first is the image, normalized or as it is.
    """

    equations: list[Equation]
    depends: set[Any]
    loose: set[Any]
    ends: list[Any]


def linearity(jaxpr: Any) -> Linearity:
    """Read a program of the images alone, whose calls are all spelled out."""
    equations, _ = leading_to(jaxpr.eqns, jaxpr.outvars)
    (images,) = jaxpr.invars
    depends, zeros = {images}, set()
    for equation in equations:
        if _moving(equation, depends) and equation.primitive.name != "stop_gradient":
            depends.update(filter(_is_inexact, equation.outvars))
        elif equation.primitive.name in _KEEP_ZERO and _is_zero(
            equation.invars[0], zeros
        ):
            zeros.update(equation.outvars)
    goes_on = _that_go_on(equations, jaxpr.outvars, depends)
    loose = {images}
    ends = [] if images in goes_on else [images]
    for equation in equations:
        moving = _moving(equation, depends)
        adrift = any(v in loose and v in goes_on for v in moving)
        if moving and (adrift or not _is_linear(equation, moving, zeros)):
            results = [v for v in equation.outvars if v in depends]
            loose.update(results)
            ends += [v for v in results if v not in goes_on]
    return Linearity(equations, depends, loose, ends)


def _that_go_on(
    equations: Sequence[Equation], outputs: Sequence[Any], depends: set[Any]
) -> set[Any]:
    """What is read once, to add a constant to it or to multiply it by one."""
    reads = Counter(
        atom
        for atoms in (*(equation.invars for equation in equations), outputs)
        for atom in atoms
        if not is_literal(atom)
    )
    return {
        moving[0]
        for equation in equations
        if equation.primitive.name in _IN_PLACE
        and len(moving := _moving(equation, depends)) == 1
        and reads[moving[0]] == 1
        and (equation.primitive.name != "div" or moving[0] is equation.invars[0])
    }


def _is_linear(equation: Equation, moving: Sequence[Any], zeros: set[Any]) -> bool:
    primitive = equation.primitive.name
    if primitive in _JOINTLY:
        held = [v for v in equation.invars if is_literal(v) or v not in moving]
        return all(_is_zero(v, zeros) for v in held if _is_inexact(v))
    if primitive in _SEPARATELY:
        return len(moving) == 1
    if primitive == "div":
        return len(moving) == 1 and moving[0] is equation.invars[0]
    return operation(equation) in _RECTIFIERS


def _moving(equation: Equation, depends: set[Any]) -> list[Any]:
    return [v for v in equation.invars if not is_literal(v) and v in depends]


def _is_inexact(atom: Any) -> bool:
    return jnp.issubdtype(atom.aval.dtype, jnp.inexact)


def _is_zero(atom: Any, zeros: set[Any]) -> bool:
    return bool(np.all(atom.val == 0)) if is_literal(atom) else atom in zeros
