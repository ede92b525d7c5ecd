"""Layers with weights: found with what is constant around them, and taken apart."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.program._carrying import Block, Carrying
from xattr.program._convolution import convolution
from xattr.program._elementwise import is_elementwise
from xattr.program._trace import (
    CONV,
    Equation,
    is_literal,
    run_equation,
    run_equations,
    value_of,
)

Value = Float[Array, "..."]

_LAYERS = {"conv_general_dilated", CONV, "dot_general"}
_MOVES = {
    *("convert_element_type", "copy", "name", "reduce_precision"),
    "sharding_constraint",
}
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


def find_layers(carrying: Carrying) -> list[Block]:
    """Convolutions and products with weights, and what is constant around them.

    One whose weights the images decide on, but without a derivative, attends.
    """
    found = []
    for equation in carrying.jaxpr.eqns:
        if equation.primitive.name not in _LAYERS:
            continue
        dense = equation.primitive.name == "dot_general"
        carry = [not is_literal(a) and a in carrying.live for a in equation.invars[:2]]
        (output,) = equation.outvars
        # A kernel that images decide on is nothing that a rule could read.
        if output not in carrying.live or sum(carry) != 1 or not (dense or carry[0]):
            continue
        kind, tail = "attend", []
        if carrying.is_constant(equation.invars[int(carry[0])]):
            kind = "dense" if dense else "conv"
            tail, output = _tail(carrying, equation)
        head, inputs = _head(carrying, equation)
        parts = [*head, equation, *tail]
        found.append(carrying.block(kind, parts, inputs, [output], equation))
    return found


def _head(carrying: Carrying, core: Equation) -> tuple[list[Equation], list[Any]]:
    """Zeros around what a convolution reads, and what the layer then reads."""
    (source,) = carrying.carried(core)
    before = carrying.producers.get(source)
    if core.primitive.name == "dot_general" or before is None:
        return [], [source]
    if before.primitive.name != "pad":
        return [], [source]
    if not _is_zero(before.invars[1]) or not carrying.only_in(source, [core]):
        return [], [source]
    return [before], [before.invars[0]]


def _is_zero(atom: Any) -> bool:
    return is_literal(atom) and not float(atom.val)


def _tail(carrying: Carrying, core: Equation) -> tuple[list[Equation], Any]:
    """What is constant after a layer: biases, and factors of its features."""
    output = core.outvars[0]
    features = _features(core, core.invars[0] in carrying.live)
    tail: list[Equation] = []
    while not carrying.results[output] and len(carrying.readers.get(output, ())) == 1:
        (after,) = carrying.readers[output]
        moved = _moved(carrying, after, output, features)
        if moved is None or after.outvars[0] not in carrying.live:
            break
        features, output = moved, after.outvars[0]
        tail.append(after)
    return tail, output


def _features(core: Equation, first: bool) -> tuple[int, ...]:
    """Axes of a layer's result that its weights have too."""
    if core.primitive.name != "dot_general":
        return (convolution(core).axes[2][1],)
    (left, right), (batch, _) = core.params["dimension_numbers"]
    rank = len(core.outvars[0].aval.shape)
    shared = len(batch)
    split = rank - (len(core.invars[1].aval.shape) - len(right) - shared)
    free = range(split, rank) if first else range(shared, split)
    return (*range(shared), *free)


def _moved(
    carrying: Carrying, equation: Equation, value: Any, features: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Where a layer's features are after an equation; None if it has to end."""
    name, shape = equation.primitive.name, value.aval.shape
    after = equation.outvars[0].aval.shape
    if name in _MOVES or name == "neg":
        return features
    if name == "transpose":
        places = equation.params["permutation"]
        return tuple(k for k, place in enumerate(places) if place in features)
    if name in ("reshape", "squeeze", "broadcast_in_dim"):
        return _through_units(shape, after, features)
    if name not in _FACTORS or shape != after:
        return None
    others = [atom for atom in equation.invars if atom is not value]
    if len(others) != 1 or not carrying.is_constant(others[0]):
        return None
    if name == "div" and equation.invars[0] is not value:
        return None
    varies = _varies(carrying, others[0]) if name in ("mul", "div") else set()
    # Factors become part of the weights, which have no axes but the features.
    return features if varies <= set(features) else None


def _varies(carrying: Carrying, atom: Any) -> set[int]:
    """Axes along which a constant may differ."""
    shape = atom.aval.shape
    everywhere = {k for k, size in enumerate(shape) if size > 1}
    if is_literal(atom) or not everywhere or atom not in carrying.producers:
        return everywhere
    equation = carrying.producers[atom]
    if equation.primitive.name == "broadcast_in_dim":
        inner = _varies(carrying, equation.invars[0])
        places = equation.params["broadcast_dimensions"]
        return {places[k] for k in inner}
    if is_elementwise(equation):
        parts = [a for a in equation.invars if len(a.aval.shape) == len(shape)]
        return set().union(*(_varies(carrying, a) for a in parts)) & everywhere
    return everywhere


def _through_units(
    before: Sequence[int], after: Sequence[int], features: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Axes after a reshape that only adds or drops axes of size one."""
    kept = [k for k, size in enumerate(before) if size != 1]
    places = [k for k, size in enumerate(after) if size != 1]
    if [before[k] for k in kept] != [after[k] for k in places]:
        return None
    return tuple(place for k, place in zip(kept, places, strict=True) if k in features)


def read_layer(block: Block, others: Sequence[Any]) -> Layer:
    """The layer that a block computes.

    Args:
      block: a convolution or product, and what is constant around it.
      others: the values of what it reads beside its input.
    """
    core: Equation = block.core
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
        return _rearranged(tail, {core.outvars[0]: result}, target)

    output = core.outvars[0].aval
    bias, transposed = jax.vjp(after, jnp.zeros(output.shape, output.dtype))
    if any(map(_scales, tail, [core, *tail])):
        (factors,) = transposed(jnp.ones_like(bias))
        weights = weights * _of_weights(core, first, factors)
    return Layer(weights, bias, linear)


def _scales(equation: Equation, before: Equation) -> bool:
    """Whether an equation of the tail has a factor, -1 among them."""
    name = equation.primitive.name
    taken_off = name == "sub" and equation.invars[0] is not before.outvars[0]
    return name in ("mul", "div", "neg") or taken_off


def _rearranged(tail: Sequence[Any], values: dict[Any, Any], target: Any) -> Value:
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
    features = _features(core, first)
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
