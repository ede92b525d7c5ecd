"""What a loop computes of its constants alone, computed once before it.

XLA leaves in a loop what it computes of the parameters: on a CPU each of its turns
transforms every kernel again.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import core

from xattr.program._convolution import convolve
from xattr.program._trace import (
    CONV,
    Equation,
    body,
    is_literal,
    run_equation,
    run_equations,
    value_of,
)

_log = logging.getLogger("xattr")

# What is kept is at most so many times as large as what it is made of.
_MOST_GROWTH = 2


def hoist(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """The same function of arguments like these, which may be abstract.

    What depends on none of them is computed here.
    """
    if jax.default_backend() != "cpu":
        return function
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    leaves, _ = jax.tree.flatten(arguments)
    flat = jax.make_jaxpr(lambda *x: _run(closed, x))(*leaves)
    known = dict(zip(flat.jaxpr.constvars, flat.consts, strict=True))
    early, late = [], []
    found = set(known)
    for equation in flat.jaxpr.eqns:
        if _is_constant(equation, found):
            early.append(equation)
            found.update(equation.outvars)
        else:
            late.append(equation)
    run_equations(early, known)
    read = {
        atom for equation in late for atom in equation.invars if not is_literal(atom)
    }
    kept = [v for equation in early for v in equation.outvars if v in read]
    if kept:
        _log.info("%.1f MiB are computed once for a whole loop", _bytes(kept) / 2**20)

    def run(*arguments: Any) -> Any:
        leaves = jax.tree.leaves(arguments)
        values = known | dict(zip(flat.jaxpr.invars, leaves, strict=True))
        run_equations(late, values)
        results = [value_of(atom, values) for atom in flat.jaxpr.outvars]
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return run


def _spelled_out(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    """Calls and convolutions in all their steps."""
    if equation.primitive.name == CONV:
        return [convolve(operands[0], operands[1], equation.params["conv"])]
    if equation.primitive.name in ("jit", "pjit"):
        inner = body(equation)
        if inner is not None:
            return _run(inner, operands)
    return run_equation(equation, operands)


def _run(program: core.ClosedJaxpr, operands: Sequence[Any]) -> list[Any]:
    jaxpr = program.jaxpr
    variables = (*jaxpr.constvars, *jaxpr.invars)
    values = dict(zip(variables, (*program.consts, *operands), strict=True))
    run_equations(jaxpr.eqns, values, _spelled_out)
    return [value_of(atom, values) for atom in jaxpr.outvars]


def _is_constant(equation: Equation, known: set[Any]) -> bool:
    operands = [atom for atom in equation.invars if not is_literal(atom)]
    return (
        bool(operands)
        and not equation.effects
        and all(atom in known for atom in operands)
        and _bytes(equation.outvars) <= _MOST_GROWTH * _bytes(operands)
    )


def _bytes(variables: Sequence[Any]) -> int:
    return sum(v.aval.size * getattr(v.aval.dtype, "itemsize", 4) for v in variables)
