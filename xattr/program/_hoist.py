"""What a loop computes of its constants alone, computed once before it.

XLA leaves in a loop what it computes of the parameters: on a CPU each of its turns
transforms every kernel again.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
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
    early, late = _parted(flat.jaxpr)
    run_equations(early, known)
    read = {
        atom for equation in late for atom in equation.invars if not is_literal(atom)
    }
    made = {v for equation in late for v in equation.outvars}
    kept = [v for e in early for v in e.outvars if v in read - made]
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


def _parted(jaxpr: Any) -> tuple[list[Equation], list[Equation]]:
    """What is computed once, and what is computed in each turn.

    Constants that are much larger than all that they are made of, such as a bias on
    every position, are made anew: keeping them costs more than making them.
    """
    roots: dict[Any, frozenset[Any]] = {v: frozenset([v]) for v in jaxpr.constvars}
    makers = {}
    for equation in jaxpr.eqns:
        operands = [atom for atom in equation.invars if not is_literal(atom)]
        if equation.effects or any(atom not in roots for atom in operands):
            continue
        own = frozenset().union(*(roots[atom] for atom in operands))
        roots.update(dict.fromkeys(equation.outvars, own))
        makers.update(dict.fromkeys(equation.outvars, equation))
    small = {v for v, own in roots.items() if _bytes([v]) <= _MOST_GROWTH * _bytes(own)}
    fixed = set(map(id, makers.values()))
    early: set[int] = set()
    late = {id(equation) for equation in jaxpr.eqns} - fixed

    def need(atom: Any, in_turn: bool) -> None:
        if not is_literal(atom) and atom in makers:
            part = late if in_turn and atom not in small else early
            part.add(id(makers[atom]))

    for atom in jaxpr.outvars:
        need(atom, True)
    for equation in reversed(jaxpr.eqns):
        for part, in_turn in ((late, True), (early, False)):
            if id(equation) in part:
                for atom in equation.invars:
                    need(atom, in_turn)
    first, again = ([e for e in jaxpr.eqns if id(e) in part] for part in (early, late))
    return first, again


def _bytes(variables: Iterable[Any]) -> int:
    return sum(v.aval.size * getattr(v.aval.dtype, "itemsize", 4) for v in variables)
