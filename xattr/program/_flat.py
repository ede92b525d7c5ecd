"""A program as one list of equations, with every call read in place."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend import core

from xattr.program._convolution import convolution, direct
from xattr.program._trace import (
    CONV,
    Equation,
    Program,
    body,
    run_body,
    run_equation,
)

# Calls whose body computes the same, once derivatives don't matter.
_CALLS = {"jit", "pjit", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}


def flatten(program: Program, images: Any) -> core.ClosedJaxpr:
    """The program as a function of the images alone, without calls.

    For evaluation: custom derivatives are gone, and convolutions are as they were
    before `rewrite`. Each value has a variable of its own.
    """
    return jax.make_jaxpr(lambda x: program.run(x, evaluate=_evaluate))(images)


def _evaluate(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    if equation.primitive.name == CONV:
        return [direct(operands[0], operands[1], convolution(equation))]
    inner = body(equation) if equation.primitive.name in _CALLS else None
    if inner is None:
        return run_equation(equation, operands)
    return run_body(inner, operands, _evaluate)
