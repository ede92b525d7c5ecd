"""What a model adds of its own to what comes from the images: its biases."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, PyTree

from xattr._types import Images, Predictor
from xattr.program._linear import Linearity, linearity
from xattr.program._sites import Site, read
from xattr.program._trace import (
    Equation,
    Program,
    is_literal,
    run_equation,
    trace,
    value_of,
)

Values = dict[str, Inexact[Array, "..."]]

_INPUT = "input"


class Biased(NamedTuple):
    """A model as a function of small changes to the values that its biases enter.

    Attributes:
      call: from one perturbation per bias, added where the bias is, to the outputs and
        the biases. An output is the sum of all biases, each times the output's
        derivative at zero.
      zeros: the perturbations that change nothing.
      sites: the value that each bias is part of. `input` is the image, with whatever
        normalizes it.
    """

    call: Callable[[Values], tuple[PyTree, Values]]
    zeros: Values
    sites: dict[str, Site]


def biased(model: Predictor, images: Images) -> Biased:
    r"""The biases of a model, and its form that is differentiated at each of them.

    Every operation $y = g(u)$ is its linear part plus a bias, $y = g'(u) u + b$.
    Convolutions, products with parameters, ReLUs and pooling have none; what is added
    is one, and so is what a saturated or smooth activation is off the line through the
    origin. Additions and multiplications of constants that follow each other, such as a
    layer's bias and the batch norm after it, are one operation; those of the image are
    part of it.

    Args:
      model: function from a batch of images to outputs.
      images: the batch to run it on.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(3 * x + 1) + 5
      >>> found = biased(model, jnp.array([[2.0]]))
      >>> outputs, biases = found.call(found.zeros)
      >>> {name: value.item() for name, value in biases.items()}
      {'input': 7.0, 'add:1': 5.0}
    """
    program = trace(model, images)
    closed = jax.make_jaxpr(lambda x: program.run(x, None, run_equation))(images)
    jaxpr = closed.jaxpr
    reading = linearity(jaxpr)
    sites = _sites(closed, reading)
    names = dict(zip(reading.ends, sites, strict=True))

    def call(perturbations: Values) -> tuple[PyTree, Values]:
        biases: Values = {}
        values = dict(zip(jaxpr.constvars, closed.consts, strict=True))
        lines: dict[Any, Any] = {}

        def keep(variable: Any, value: Any, line: Any) -> None:
            if variable in names:
                name = names[variable]
                biases[name] = value - line
                value = value + perturbations[name]
            elif variable in reading.loose:
                lines[variable] = line
            values[variable] = value

        keep(jaxpr.invars[0], images, jnp.zeros_like(images))
        for equation in reading.equations:
            operands = [value_of(atom, values) for atom in equation.invars]
            results = run_equation(equation, operands)
            slopes: Sequence[Any] = [None] * len(results)
            if reading.loose.intersection(equation.outvars):
                along = [
                    lines.get(atom, value)
                    if not is_literal(atom) and atom in reading.depends
                    else None
                    for atom, value in zip(equation.invars, operands, strict=True)
                ]
                slopes = _derivative(equation, operands, along)
            for kept in zip(equation.outvars, results, slopes, strict=True):
                keep(*kept)
        flat = [value_of(atom, values) for atom in jaxpr.outvars]
        return jax.tree.unflatten(program.outputs, flat), biases

    zeros = {name: jnp.zeros(site.shape, site.dtype) for name, site in sites.items()}
    return Biased(call, zeros, sites)


def _derivative(
    equation: Equation, operands: Sequence[Any], along: Sequence[Any]
) -> list[Any]:
    """Derivative of an operation's results along some of its operands."""
    moving = [place for place, direction in enumerate(along) if direction is not None]

    def function(*values: Any) -> list[Any]:
        replaced = dict(zip(moving, values, strict=True))
        full = [replaced.get(place, value) for place, value in enumerate(operands)]
        return run_equation(equation, full)

    values = [jax.lax.stop_gradient(operands[place]) for place in moving]
    directions = [jax.lax.stop_gradient(along[place]) for place in moving]
    if equation.primitive.name.startswith("custom_vjp"):
        # It has no derivative forward, but what it has is linear.
        results, back = jax.vjp(function, *values)
        return jax.linear_transpose(back, results)(tuple(directions))[0]
    return jax.jvp(function, values, directions)[1]


def _sites(closed: Any, reading: Linearity) -> dict[str, Site]:
    """The values where biases enter, the first of which is the input."""
    found = read(Program(closed, (), None))
    sites = {site.name: site for site in found.sites}
    names = {
        closed.jaxpr.eqns[output.address[0]].outvars[output.place]: name
        for name, output in found.outputs.items()
    }
    first, *rest = reading.ends
    axes = "nhwc" if len(first.aval.shape) == 4 else "n" + "?" * (first.aval.ndim - 1)
    shown = Site(_INPUT, _INPUT, first.aval.shape, first.aval.dtype, axes)
    return {_INPUT: shown} | {names[v]: sites[names[v]] for v in rest}
