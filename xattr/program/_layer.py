"""A layer with weights, taken apart: what it does with others, and without biases."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.program._blocks import Block, feature_axes
from xattr.program._convolution import convolution
from xattr.program._trace import run_equation, run_equations, value_of

Value = Float[Array, "..."]

_FACTORS = {"add", "sub", "mul", "div", "neg"}


class Layer(NamedTuple):
    """An affine function of one input, constant factors being part of its weights.

    Attributes:
      weights: of the convolution or product, with the factors that follow it.
      bias: what an input of zeros gives, of the output's shape.
      linear: from an input, and weights in the place of these, to the output without
        bias. `jax.vjp` of it is the transposed layer.
    """

    weights: Value
    bias: Value
    linear: Callable[[Value, Value], Value]


def read_layer(block: Block, others: Sequence[Any]) -> Layer:
    """The layer that a block computes.

    Args:
      block: a convolution or product, and what is constant around it.
      others: the values of what it reads beside its input.
    """
    core = block.core
    known: dict[Any, Any] = dict(zip(block.others, others, strict=True))
    place = block.equations.index(core)
    head, tail = block.equations[:place], block.equations[place + 1 :]
    (source,), (target,) = block.inputs, block.outputs
    carried = {source, *(v for e in head for v in e.outvars)}
    first = core.invars[0] in carried
    weights = value_of(core.invars[int(first)], known)

    def after(value: Value) -> Value:
        values = {**known, core.outvars[0]: value}
        run_equations(tail, values)
        return values[target]

    def linear(inputs: Value, weights: Value) -> Value:
        values = {**known, source: inputs}
        run_equations(head, values)
        carrying = value_of(core.invars[int(not first)], values)
        operands = (carrying, weights) if first else (weights, carrying)
        (result,) = run_equation(core, operands)
        return _moved(tail, {core.outvars[0]: result}, target)

    output = core.outvars[0].aval
    bias, transposed = jax.vjp(after, jnp.zeros(output.shape, output.dtype))
    if any(e.primitive.name in ("mul", "div", "neg") for e in tail):
        (factors,) = transposed(jnp.ones_like(bias))
        weights = weights * _of_weights(core, first, factors)
    return Layer(weights, bias, linear)


def _moved(tail: Sequence[Any], values: dict[Any, Any], target: Any) -> Value:
    """What follows a layer, but for its factors and summands."""
    for equation in tail:
        (value,) = [values[a] for a in equation.invars if _is_in(a, values)]
        if equation.primitive.name not in _FACTORS:
            (value,) = run_equation(equation, [value])
        values = {equation.outvars[0]: value}
    return values[target]


def _is_in(atom: Any, values: Mapping[Any, Any]) -> bool:
    return not hasattr(atom, "val") and atom in values


def _of_weights(core: Any, first: bool, factors: Value) -> Value:
    """Factors of a layer's features, as they multiply its weights."""
    live = {core.invars[int(not first)]}
    features = feature_axes(core, live)
    rest = [k for k in range(factors.ndim) if k not in features]
    factors = factors[
        tuple(slice(1) if k in rest else slice(None) for k in range(factors.ndim))
    ]
    shape = core.invars[int(first)].aval.shape
    places = _weight_axes(core, first)
    factors = jnp.squeeze(factors, rest)
    order = sorted(range(len(places)), key=places.__getitem__)
    factors = factors.transpose(order)
    wide = [shape[k] if k in places else 1 for k in range(len(shape))]
    return factors.reshape(wide)


def _weight_axes(core: Any, first: bool) -> tuple[int, ...]:
    """The axis of the weights for each feature axis of the result."""
    if core.primitive.name != "dot_general":
        return (convolution(core).axes[1][0],)
    contracted, batch = core.params["dimension_numbers"]
    side = int(first)
    rank = len(core.invars[side].aval.shape)
    used = (*contracted[side], *batch[side])
    return (*batch[side], *(k for k in range(rank) if k not in used))
