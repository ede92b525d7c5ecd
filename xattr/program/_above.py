"""A model in two parts: up to a site, and above it."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Inexact, PyTree

from xattr._types import Images, Predictor
from xattr.program._sites import Site, read
from xattr.program._trace import (
    Equation,
    is_literal,
    run_equation,
    run_equations,
    trace,
    value_of,
)

# How far up a value of the program stands: what needs no image, what needs no site.
_CONSTANT, _BELOW, _ABOVE = range(3)


class Split(NamedTuple):
    """A model cut at a site.

    Attributes:
      below: from images to the site's activation, and to the other values that what
        lies above the site reads: skip connections around it, for example.
      above: from an activation and those values to the outputs. Nothing that does not
        depend on the activation is computed in it.
      site: the site.
    """

    below: Callable[[Images], tuple[Inexact[Array, "..."], list[Array]]]
    above: Callable[[Inexact[Array, "..."], list[Array]], PyTree]
    site: Site


def split_at(model: Predictor, images: Images, site: str) -> Split:
    """The model, for batches of this shape and type, cut at a site.

    Values that depend on parameters alone are computed once, here.

    Args:
      model: function from a batch of images to outputs.
      images: a batch of the shape and type that both parts are for.
      site: exact name or module path.

    Raises:
      ValueError: if the site is unknown, ambiguous, or inside a loop.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: jnp.tanh(x) + jax.nn.relu(x)
      >>> x = jnp.array([[2.0, -1.0]])
      >>> split = split_at(model, x, "tanh:0")
      >>> activation, carried = split.below(x)
      >>> split.above(jnp.zeros_like(activation), carried)
      Array([[2., 0.]], dtype=float32)
    """
    program = trace(model, images)
    reading = read(program)
    chosen = reading.select(site)

    def replaced(images: Any, activation: Any) -> tuple[Any, Any]:
        found = []

        def hook(value: Any) -> Any:
            found.append(value)
            return activation

        hooks = {reading.outputs[chosen.name]: hook}
        outputs = program.run(images, hooks, run_equation)
        return found[0], outputs

    shapes = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in (images, chosen)]
    closed, results = jax.make_jaxpr(replaced, return_shape=True)(*shapes)
    jaxpr = closed.jaxpr
    levels, steps = _by_level(jaxpr)
    activation, *outputs = jaxpr.outvars
    steps[_ABOVE], needed = leading_to(steps[_ABOVE], outputs)
    carried = [v for v in needed if levels.get(v) == _BELOW]
    constants = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    run_equations(steps[_CONSTANT], constants)

    def below(images: Images) -> tuple[Any, list[Any]]:
        values = {**constants, jaxpr.invars[0]: images}
        run_equations(steps[_BELOW], values)
        return value_of(activation, values), [values[v] for v in carried]

    def above(activation: Any, rest: list[Any]) -> PyTree:
        values = {**constants, jaxpr.invars[1]: activation}
        values |= dict(zip(carried, rest, strict=True))
        run_equations(steps[_ABOVE], values)
        flat = [value_of(atom, values) for atom in outputs]
        return jax.tree.unflatten(jax.tree.structure(results[1]), flat)

    return Split(below, above, chosen)


def _by_level(jaxpr: Any) -> tuple[dict[Any, int], dict[int, list[Equation]]]:
    """How far up each value stands, and the equations that stand there."""
    images, activation = jaxpr.invars
    levels = dict.fromkeys(jaxpr.constvars, _CONSTANT)
    levels |= {images: _BELOW, activation: _ABOVE}
    steps: dict[int, list[Equation]] = {_CONSTANT: [], _BELOW: [], _ABOVE: []}
    for equation in jaxpr.eqns:
        read = [levels[atom] for atom in equation.invars if not is_literal(atom)]
        level = max(read, default=_CONSTANT)
        steps[level].append(equation)
        levels |= dict.fromkeys(equation.outvars, level)
    return levels, steps


def leading_to(
    steps: Iterable[Equation], outputs: Iterable[Any]
) -> tuple[list[Equation], list[Any]]:
    """The equations that the outputs rest on, and all values that these read."""
    # A dictionary rather than a set: in an order that is always the same.
    needed = {atom: None for atom in outputs if not is_literal(atom)}
    kept = []
    for equation in reversed(list(steps)):
        if any(variable in needed for variable in equation.outvars):
            kept.append(equation)
            needed |= {atom: None for atom in equation.invars if not is_literal(atom)}
    return kept[::-1], list(needed)
