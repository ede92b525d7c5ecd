"""How much a function computes, read from its program without compiling it."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

from xattr.program._convolution import direct
from xattr.program._regions import multiply_adds
from xattr.program._trace import CONV, inner_programs


def operations(
    function: Callable[..., Any], *arguments: Any, unknown_steps: int | None = None
) -> int:
    """Multiply-adds of the convolutions and products of a function.

    They are nearly all that a network's evaluation costs, and the same on every device.
    Loops count as often as they run, a branch as the dearest of its kind.

    Args:
      function: any traceable function of arrays and pytrees of arrays.
      *arguments: what it takes; shapes are enough (`jax.ShapeDtypeStruct`).
      unknown_steps: how often loops count of which the program does not say how often
        they run.

    Raises:
      ValueError: if such a loop has products in it and `unknown_steps` is None.

    Example:
      >>> import jax.numpy as jnp
      >>> operations(lambda x, w: x @ w, jnp.ones((2, 3)), jnp.ones((3, 5)))
      30

    Notes:
      The padding of a convolution counts; the zeros that spread a convolution's images
      apart, as in the gradient of a strided one, do not.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr, unknown_steps)


def _count(jaxpr: core.Jaxpr, unknown: int | None) -> int:
    return sum(_of_equation(equation, unknown) for equation in jaxpr.eqns)


def _of_equation(equation: Any, unknown: int | None) -> int:
    name, params = equation.primitive.name, equation.params
    if name == CONV:
        shapes = [atom.aval for atom in equation.invars]
        conv = jax.make_jaxpr(lambda x, w: direct(x, w, params["conv"]))(*shapes)
        return _count(conv.jaxpr, unknown)
    if name == "conv_general_dilated":
        spread = math.prod(params["lhs_dilation"])
        return multiply_adds(equation, [equation.outvars[0].aval.shape]) // spread
    if name == "dot_general":
        return multiply_adds(equation, [equation.outvars[0].aval.shape])
    parts = [_count(inner, unknown) for inner in inner_programs(equation)]
    if name == "while" and any(parts) and unknown is None:
        raise ValueError(
            "`function` has products in a `jax.lax.while_loop`, whose number of steps "
            "the program does not say. Give the loop a fixed number: "
            "`jax.lax.fori_loop(0, 8, step, start)`, or say `unknown_steps=`."
        )
    if name == "cond":
        return max(parts)
    steps = {"scan": params.get("length"), "while": unknown}.get(name, 1)
    return sum(parts) * (steps or 0)
