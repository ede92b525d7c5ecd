"""A program as one list of equations, with calls and loops read in place."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from xattr.program._axes import scan_sizes
from xattr.program._convolution import convolution, direct
from xattr.program._elementwise import is_elementwise
from xattr.program._sites import Reading, read
from xattr.program._trace import (
    CONV,
    Equation,
    Evaluate,
    Program,
    body,
    inner_programs,
    operation,
    run_body,
    run_equation,
    trace,
)

# A loop of more steps than this is left as it is: a program of so many operations
# would take too long to compile.
_MOST_STEPS = 128

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


class SpelledOut(NamedTuple):
    """A program of the images alone, every step of its loops in it.

    Attributes:
      program: it.
      outputs: the tree of its outputs.
      reading: the sites of the model.
      names: of the variables that are sites.
    """

    program: core.ClosedJaxpr
    outputs: Any
    reading: Reading
    names: dict[Any, str]


def spelled_out(
    model: Any, images: Any, *, derivatives: bool = False, stops: bool = True
) -> SpelledOut:
    """Read a model, its loops step by step.

    Functions of each entry stay as they are.

    Args:
      model: function from a batch of images to outputs.
      images: a batch; may be abstract.
      derivatives: whether functions that have a derivative of their own keep it,
        unless there is a ReLU in them.
      stops: whether `stop_gradient` stops.
    """
    program = trace(model, images)
    reading = read(program)

    def evaluate(equation: Equation, operands: Sequence[Any]) -> list[Any]:
        if equation.primitive.name == "stop_gradient" and not stops:
            return list(operands)
        if equation.primitive.name == "scan":
            if equation.params["length"] <= _MOST_STEPS:
                return _unrolled(equation, operands, evaluate)
            return run_equation(equation, operands)
        inner = body(equation)
        own = derivatives and not _rectifies(equation)
        kept = own or is_elementwise(equation) or _is_pooling(equation)
        if inner is None or kept:
            return run_equation(equation, operands)
        return run_body(inner, operands, evaluate)

    def call(images: Any) -> tuple[Any, dict[str, Any]]:
        found: dict[str, Any] = {}
        hooks = {
            output: partial(_keep, found, name)
            for name, output in reading.outputs.items()
        }
        return program.run(images, hooks, evaluate), found

    closed, (shapes, found) = jax.make_jaxpr(call, return_shape=True)(images)
    results = jax.tree.structure(shapes)
    variables = closed.jaxpr.outvars[results.num_leaves :]
    jaxpr = closed.jaxpr.replace(outvars=closed.jaxpr.outvars[: results.num_leaves])
    names = dict(zip(variables, sorted(found), strict=True))
    return SpelledOut(core.ClosedJaxpr(jaxpr, closed.consts), results, reading, names)


def _rectifies(equation: Equation) -> bool:
    """Whether there is a ReLU in what an equation calls."""
    return any(
        operation(inner) in ("relu", "relu6") or _rectifies(inner)
        for program in inner_programs(equation)
        for inner in program.eqns
    )


def _is_pooling(equation: Equation) -> bool:
    """Whether a call is one operation, with a derivative faster than its body's."""
    return operation(equation) == "max_pool"


def _keep(found: dict[str, Any], name: str, value: Any) -> Any:
    found[name] = value
    return value


def _unrolled(
    equation: Equation, operands: Sequence[Any], evaluate: Evaluate
) -> list[Any]:
    """Results of a loop, step after step."""
    inner = equation.params["jaxpr"]
    first, start = scan_sizes(equation, inner.jaxpr)
    fixed, state, items = operands[:first], operands[first:start], operands[start:]
    steps = range(equation.params["length"])
    rows: list[Any] = []
    for step in reversed(steps) if equation.params["reverse"] else steps:
        item = [jax.lax.index_in_dim(x, step, keepdims=False) for x in items]
        with jax.named_scope(f"step_{step}"):
            results = run_body(inner, [*fixed, *state, *item], evaluate)
        state, row = results[: len(state)], results[len(state) :]
        rows.append(row)
    if equation.params["reverse"]:
        rows.reverse()
    return [*state, *(jnp.stack(column) for column in zip(*rows, strict=True))]
