"""Which parameters belong to which layer of a model, in the order of the program."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import SequenceKey, keystr, tree_leaves_with_path

from xattr._model import _NNX, Model, _Linen
from xattr._types import Images, Predictor
from xattr.program._trace import body, is_array, is_literal, trace


class Layer(NamedTuple):
    """Parameters of one module.

    Attributes:
      name: path of the module among the parameters, `features/3/conv`.
      leaves: places of its arrays in `jax.tree.leaves(model)`.
    """

    name: str
    leaves: tuple[int, ...]


def parameter_layers(model: Predictor, images: Images) -> tuple[Layer, ...]:
    """The layers of a model that have parameters, from the images to the outputs.

    A layer holds the floating-point arrays whose paths differ in the last key alone:
    the kernel and the bias of a convolution, or the scale, the bias and the running
    statistics of a batch norm. Arrays in a list, and those at the top, are layers of
    their own. The first operation in which an array, or what is made of it, meets what
    depends on the images gives the order.

    The model is read, not run. Arrays that the outputs do not depend on are left out.

    Args:
      model: a pytree that is a function from a batch of images to outputs.
      images: a batch of the shape and type that the model takes; may be abstract.

    Returns:
      The layers; none for a function without parameters.

    Example:
      >>> from xattr import Model
      >>> params = {"a": {"w": jnp.ones((2, 3))}, "b": {"w": jnp.ones((3, 2))}}
      >>> apply = lambda p, x: x @ p["b"]["w"] @ p["a"]["w"]
      >>> parameter_layers(Model(apply, params), jnp.ones((1, 3)))
      (Layer(name='b', leaves=(1,)), Layer(name='a', leaves=(0,)))

    Notes:
      An array that holds the weights of all steps of a loop (`jax.lax.scan` over
      stacked layers) is one array, and so part of one layer.
    """
    places = [i for i, x in enumerate(jax.tree.leaves(model)) if is_array(x)]
    paths = _paths(model)
    program = trace(model, images)
    constant, first = _Value(False, frozenset()), _Value(True, frozenset())
    inputs = [_Value(False, frozenset([i])) for i in range(len(program.leaves))]
    met: dict[int, None] = {}
    jaxpr = program.jaxpr.jaxpr
    values = dict.fromkeys(jaxpr.constvars, constant)
    for value in _walk(jaxpr, values, [*inputs, first], met):
        met |= dict.fromkeys(sorted(value.leaves))
    layers: dict[str, list[int]] = {}
    for leaf in met:
        if jnp.issubdtype(program.leaves[leaf].dtype, jnp.inexact):
            layers.setdefault(_module(paths[leaf]), []).append(places[leaf])
    return tuple(Layer(name, tuple(sorted(own))) for name, own in layers.items())


class _Value(NamedTuple):
    """Whether a value depends on the images, and what parameters else made it."""

    depends: bool
    leaves: frozenset[int]


def _walk(
    jaxpr: Any,
    values: dict[Any, _Value],
    inputs: Sequence[_Value],
    met: dict[int, None],
) -> list[_Value]:
    constant = _Value(False, frozenset())
    values |= zip(jaxpr.invars, inputs, strict=True)

    def value(atom: Any) -> _Value:
        return constant if is_literal(atom) else values.get(atom, constant)

    for equation in jaxpr.eqns:
        operands = [value(atom) for atom in equation.invars]
        depends = any(operand.depends for operand in operands)
        inner = body(equation)
        if inner is not None and depends:
            results = _walk(inner.jaxpr, {}, operands, met)
        else:
            leaves = frozenset().union(*(operand.leaves for operand in operands))
            if depends:
                met |= dict.fromkeys(sorted(leaves))
                leaves = frozenset()
            results = [_Value(depends, leaves)] * len(equation.outvars)
        values |= zip(equation.outvars, results, strict=True)
    return [value(atom) for atom in jaxpr.outvars]


def _paths(model: Any) -> list[tuple[Any, ...]]:
    """Path of each array among the parameters, as those who wrote the model see it."""
    if not isinstance(model, Model):
        return [path for path, leaf in tree_leaves_with_path(model) if is_array(leaf)]
    paths = _paths(model.params)
    if isinstance(model.apply, _NNX):  # an array is the value of its variable
        return [path[:-1] for path in paths]
    if isinstance(model.apply, _Linen):  # the first key is the collection
        return [path[1:] for path in paths]
    return paths


def _module(path: tuple[Any, ...]) -> str:
    """Name of the layer that an array belongs to."""
    alone = len(path) < 2 or isinstance(path[-1], SequenceKey)
    return keystr(path if alone else path[:-1], simple=True, separator="/")
