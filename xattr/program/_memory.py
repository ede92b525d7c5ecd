"""How much memory a function needs, read from its program without compiling it."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend import core

from xattr.program._convolution import convolve
from xattr.program._trace import CONV, inner_programs, is_literal


class Footprint(NamedTuple):
    """Bytes that a function needs.

    Attributes:
      live: most bytes of intermediate results alive at once, if nothing is fused.
      constants: what it reads beside its arguments: parameters, above all.
    """

    live: int
    constants: int


def footprint(function: Callable[..., Any], *arguments: Any) -> Footprint:
    """Bytes that a function of arguments like these needs, inputs left out.

    Fusion makes the true figure smaller; it is an estimate to choose the size of a
    chunk by.
    """
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
    jaxpr = jax.make_jaxpr(function)(*shapes).jaxpr
    return Footprint(_peak(jaxpr), sum(map(_bytes, jaxpr.constvars)))


def live_bytes(function: Callable[..., Any], *arguments: Any) -> int:
    """Most bytes of intermediate results alive at once, as `footprint` has it."""
    return footprint(function, *arguments).live


def _peak(jaxpr: core.Jaxpr) -> int:
    last = {
        atom: index
        for index, equation in enumerate(jaxpr.eqns)
        for atom in equation.invars
        if not is_literal(atom)
    }
    last.update(
        {atom: len(jaxpr.eqns) for atom in jaxpr.outvars if not is_literal(atom)}
    )
    outside = {*jaxpr.invars, *jaxpr.constvars}
    alive = peak = 0
    for index, equation in enumerate(jaxpr.eqns):
        results = [v for v in equation.outvars if v in last]
        alive += sum(map(_bytes, results))
        inside = max(map(_peak, _parts(equation)), default=0)
        peak = max(peak, alive + inside)
        ended = {
            atom
            for atom in equation.invars
            if not is_literal(atom) and last[atom] == index and atom not in outside
        }
        alive -= sum(map(_bytes, ended))
    return peak


def _parts(equation: Any) -> Iterator[core.Jaxpr]:
    """The programs in an equation, and the form that a convolution takes."""
    yield from inner_programs(equation)
    if equation.primitive.name == CONV:
        conv = equation.params["conv"]
        operands = [atom.aval for atom in equation.invars]
        yield jax.make_jaxpr(lambda x, w: convolve(x, w, conv))(*operands).jaxpr


def _bytes(variable: Any) -> int:
    size = getattr(variable.aval.dtype, "itemsize", 4)
    return math.prod(variable.aval.shape) * size
