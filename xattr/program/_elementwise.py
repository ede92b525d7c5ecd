"""Functions of each entry by itself, told apart by their values."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xattr.program._trace import Equation, body, is_literal

_UNARY = {
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "ceil"),
    *("convert_element_type", "copy", "cos", "cosh", "erf", "erfc", "erf_inv", "exp"),
    *("exp2", "expm1", "floor", "integer_pow", "is_finite", "log", "log1p", "logistic"),
    *("neg", "not", "reduce_precision", "round", "rsqrt", "sign", "sin", "sinh"),
    *("sqrt", "square", "tan", "tanh", "stop_gradient"),
}
_OTHER = {
    *("add", "add_any", "and", "atan2", "clamp", "div", "eq", "ge", "gt", "le", "lt"),
    *("max", "min", "mul", "ne", "or", "pow", "rem", "select_n", "sub", "xor"),
}
ELEMENTWISE = _UNARY | _OTHER
_CALLS = {
    *("jit", "pjit", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
    *("checkpoint", "closed_call", "core_call", "remat", "remat2"),
}

_POINTS = np.array([-9.0, -3.5, -1.0, -0.25, 0.0, 0.25, 1.0, 3.5, 9.0], np.float32)


def is_elementwise(equation: Equation) -> bool:
    """Whether each entry of the result depends on that entry of the operands alone."""
    name = equation.primitive.name
    if name in ELEMENTWISE:
        return True
    inner = body(equation) if name in _CALLS else None
    return inner is not None and all(map(_keeps_entries, inner.jaxpr.eqns))


def _keeps_entries(equation: Equation) -> bool:
    return is_elementwise(equation) or equation.primitive.name == "broadcast_in_dim"


def shape_of_function(
    equations: Sequence[Equation],
    root: Any,
    result: Any,
    producers: Mapping[Any, Equation],
) -> str | None:
    """What a function of each entry looks like, by its values at a few points.

    `relu`, `rectifier` (nothing below zero, and it never falls) or `activation`;
    None if it depends on more than the value and constants.
    """
    try:
        # The program is being read: what is evaluated must not become part of it.
        with jax.ensure_compile_time_eval():
            values = _evaluate(equations, root, result, producers)
    except _Unknown:
        return None
    if np.array_equal(values, np.maximum(_POINTS, 0)):
        return "relu"
    if not values[_POINTS <= 0].any() and (np.diff(values) >= 0).all():
        return "rectifier"
    return "activation"


class _Unknown(Exception):
    """A value that is not known while the program is read."""


def _evaluate(
    equations: Sequence[Equation],
    root: Any,
    result: Any,
    producers: Mapping[Any, Equation],
) -> np.ndarray:
    values = {root: jnp.asarray(_POINTS, root.aval.dtype)}
    _run(equations, values, producers)
    return np.asarray(jnp.broadcast_to(values[result], _POINTS.shape), np.float32)


def _run(
    equations: Sequence[Equation],
    values: dict[Any, Any],
    producers: Mapping[Any, Equation],
) -> None:
    for equation in equations:
        operands = [_read(atom, values, producers) for atom in equation.invars]
        inner = body(equation) if equation.primitive.name in _CALLS else None
        if inner is not None:
            inside = dict(zip(inner.jaxpr.invars, operands, strict=True))
            _run(inner.jaxpr.eqns, inside, {})
            results = [_read(atom, inside, {}) for atom in inner.jaxpr.outvars]
        elif equation.primitive.name == "broadcast_in_dim":
            results = operands[:1]
        else:
            wide = [jnp.broadcast_to(x, _POINTS.shape) for x in operands]
            results = [equation.primitive.bind(*wide, **equation.params)]
        values.update(zip(equation.outvars, results, strict=True))


def _read(atom: Any, values: dict[Any, Any], producers: Mapping[Any, Equation]) -> Any:
    if is_literal(atom):
        if np.size(atom.val) != 1:
            raise _Unknown
        return jnp.asarray(atom.val, atom.aval.dtype).reshape(())
    if atom not in values:
        # A constant that is written into the program, and made as large as the value.
        if atom not in producers or not _keeps_entries(producers[atom]):
            raise _Unknown
        _run([producers[atom]], values, producers)
    return values[atom]
