"""A program as blocks, each of which passes relevance on by one rule.

A block is a layer with weights and what is constant after it (so that batch norm is
part of it), a function of one value that is used several times (`x * (x > 0)`, a layer
norm), or one equation. Blocks don't overlap, and every value that carries relevance is
the result of one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from xattr.program._elementwise import ELEMENTWISE, is_elementwise, shape_of_function
from xattr.program._trace import CONV, Equation, is_literal, operation

# How a value depends on the images: not, without a derivative, or with one.
_CONSTANT, _FROZEN, _CARRIES = range(3)

LAYERS = {"conv_general_dilated", CONV, "dot_general"}

_STRUCTURAL = {
    "all_gather",
    "broadcast_in_dim",
    "concatenate",
    "convert_element_type",
    "copy",
    "dynamic_slice",
    "gather",
    "optimization_barrier",
    "pad",
    "reduce_precision",
    "reshape",
    "rev",
    "slice",
    "split",
    "squeeze",
    "transpose",
}
_SUMS = {"reduce_sum", "reduce_window_sum", "cumsum"}
_MAXIMA = {"reduce_max", "reduce_min", "reduce_window_max", "reduce_window_min"}
_IN_REGIONS = (
    ELEMENTWISE
    | _STRUCTURAL
    | _SUMS
    | {"reduce_max", "reduce_min", "stop_gradient", "iota"}
) - {"concatenate", "gather", "dynamic_slice", "split", "slice", "rev", "pad"}
_ARITHMETIC = {"neg", "add", "add_any", "sub", "mul", "div"}
_AFFINE = _STRUCTURAL | _SUMS | _ARITHMETIC | {"select_n"}
_NEVER_CARRY = {"stop_gradient", "argmax", "argmin", "sign", "floor", "ceil", "round"}


@dataclass(frozen=True, eq=False)
class Block:
    """Equations that pass relevance on together.

    Attributes:
      kind: what a composite knows it as.
      equations: in program order.
      inputs: the values that relevance is passed on to.
      outputs: the values that it comes from.
      others: what else is read, constant or frozen.
      core: the convolution or product of a layer with weights.
      names: of the sites that it computes.
    """

    kind: str
    equations: tuple[Equation, ...]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    others: tuple[Any, ...]
    core: Equation | None = None
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The site that stands for the block: its result, if that has a name."""
        return self.names[-1] if self.names else self.kind


@dataclass(frozen=True)
class Blocks:
    """A program's blocks and its other equations, in an order to run them in.

    Attributes:
      steps: blocks, and equations that carry nothing.
      carries: the values that have a derivative with respect to the images.
    """

    steps: tuple[Block | Equation, ...]
    carries: frozenset[Any]


def find_blocks(
    jaxpr: Any, names: Mapping[Any, str], frozen: frozenset[str] = frozenset()
) -> Blocks:
    """The blocks of a flat program.

    Args:
      jaxpr: without calls that could be read in place.
      names: of the values that are sites.
      frozen: operations whose results are taken as constants.
    """
    levels = _levels(jaxpr, frozen)
    live = _live(jaxpr, levels)
    walk = _Walk(jaxpr, names, levels, live)
    taken: dict[int, Block] = {}
    for block in (*walk.layers(), *walk.regions()):
        if not any(id(equation) in taken for equation in block.equations):
            taken |= {id(equation): block for equation in block.equations}
    steps: list[Block | Equation] = []
    for equation in jaxpr.eqns:
        block = taken.get(id(equation))
        if block is not None:
            if equation is block.equations[-1]:
                steps.append(block)
        elif any(v in live for v in equation.outvars):
            steps.append(walk.single(equation))
        else:
            steps.append(equation)
    return Blocks(tuple(steps), frozenset(live))


def _levels(jaxpr: Any, frozen: frozenset[str]) -> dict[Any, int]:
    levels = dict.fromkeys(jaxpr.constvars, _CONSTANT)
    levels |= dict.fromkeys(jaxpr.invars, _CARRIES)
    for equation in jaxpr.eqns:
        level = max((levels[v] for v in _variables(equation)), default=_CONSTANT)
        if equation.primitive.name in _NEVER_CARRY or operation(equation) in frozen:
            level = min(level, _FROZEN)
        for variable in equation.outvars:
            discrete = not jnp.issubdtype(variable.aval.dtype, jnp.inexact)
            levels[variable] = min(level, _FROZEN) if discrete else level
    return levels


def _live(jaxpr: Any, levels: Mapping[Any, int]) -> set[Any]:
    """The values through which the outputs depend on the images."""
    live = {v for v in jaxpr.outvars if not is_literal(v) and levels[v] == _CARRIES}
    for equation in reversed(jaxpr.eqns):
        if any(v in live for v in equation.outvars):
            live |= {v for v in _variables(equation) if levels[v] == _CARRIES}
    return live


def _variables(equation: Equation) -> list[Any]:
    return [atom for atom in equation.invars if not is_literal(atom)]


class _Walk:
    """What is asked again and again of a program while it is parted."""

    def __init__(
        self,
        jaxpr: Any,
        names: Mapping[Any, str],
        levels: Mapping[Any, int],
        live: set[Any],
    ) -> None:
        self.jaxpr, self.names, self.levels, self.live = jaxpr, names, levels, live
        self.producers = {v: e for e in jaxpr.eqns for v in e.outvars}
        self.order = {id(e): k for k, e in enumerate(jaxpr.eqns)}
        self.readers: dict[Any, list[Equation]] = {}
        for equation in jaxpr.eqns:
            for variable in set(_variables(equation)):
                self.readers.setdefault(variable, []).append(equation)
        self.results = Counter(v for v in jaxpr.outvars if not is_literal(v))

    def carrying(self, equation: Equation) -> list[Any]:
        """The values that an equation reads and passes relevance on to."""
        return list(dict.fromkeys(v for v in _variables(equation) if v in self.live))

    def block(
        self,
        kind: str,
        equations: Iterable[Equation],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        core: Equation | None = None,
    ) -> Block:
        """A block of equations, in the program's order."""
        ordered = tuple(sorted(equations, key=lambda e: self.order[id(e)]))
        inside = {v for e in ordered for v in e.outvars}
        read = dict.fromkeys(v for e in ordered for v in _variables(e))
        others = tuple(v for v in read if v not in inside and v not in inputs)
        named = (self.names[v] for e in ordered for v in e.outvars if v in self.names)
        return Block(
            kind, ordered, tuple(inputs), tuple(outputs), others, core, tuple(named)
        )

    def single(self, equation: Equation) -> Block:
        """A block of one equation."""
        inputs = self.carrying(equation)
        outputs = [v for v in equation.outvars if v in self.live]
        kind = _kind(equation, inputs)
        return self.block(kind, [equation], inputs, outputs)

    def layers(self) -> list[Block]:
        """Convolutions and products with weights, and what is constant around them."""
        found = []
        for equation in self.jaxpr.eqns:
            if equation.primitive.name not in LAYERS:
                continue
            dense = equation.primitive.name == "dot_general"
            carry = [not is_literal(a) and a in self.live for a in equation.invars[:2]]
            (output,) = equation.outvars
            # A kernel that images decide on is nothing that a rule could read.
            if output not in self.live or sum(carry) != 1 or not (dense or carry[0]):
                continue
            kind, tail = "attend", []
            if self._is_constant(equation.invars[int(carry[0])]):
                kind = "dense" if dense else "conv"
                tail, output = self._tail(equation)
            head, inputs = self._head(equation, self.carrying(equation))
            parts = [*head, equation, *tail]
            found.append(self.block(kind, parts, inputs, [output], equation))
        return found

    def _head(
        self, core: Equation, inputs: list[Any]
    ) -> tuple[list[Equation], list[Any]]:
        """Zeros around what a convolution reads."""
        before = self.producers.get(inputs[0])
        if (
            core.primitive.name == "dot_general"
            or before is None
            or before.primitive.name != "pad"
            or not _is_zero(before.invars[1])
            or len(self.readers[inputs[0]]) > 1
            or self.results[inputs[0]]
        ):
            return [], inputs
        return [before], [before.invars[0]]

    def _tail(self, core: Equation) -> tuple[list[Equation], Any]:
        """What is constant after a layer: biases, and factors of its features."""
        output = core.outvars[0]
        features = feature_axes(core, self.live)
        tail: list[Equation] = []
        while not self.results[output] and len(self.readers.get(output, ())) == 1:
            (after,) = self.readers[output]
            moved = self._moved(after, output, features)
            if moved is None or after.outvars[0] not in self.live:
                break
            features, output = moved, after.outvars[0]
            tail.append(after)
        return tail, output

    def _moved(
        self, equation: Equation, value: Any, features: tuple[int, ...]
    ) -> tuple[int, ...] | None:
        """Where a layer's features are after an equation; None if it has to end."""
        name, shape = equation.primitive.name, value.aval.shape
        after = equation.outvars[0].aval.shape
        if name in ("convert_element_type", "copy", "neg", "reduce_precision"):
            return features
        if name == "transpose":
            places = equation.params["permutation"]
            return tuple(k for k, place in enumerate(places) if place in features)
        if name in ("reshape", "squeeze", "broadcast_in_dim"):
            return _through_units(shape, after, features)
        if name not in ("add", "sub", "mul", "div") or shape != after:
            return None
        others = [atom for atom in equation.invars if atom is not value]
        if len(others) != 1 or not self._is_constant(others[0]):
            return None
        if name == "div" and equation.invars[0] is not value:
            return None
        varies = self._varies(others[0]) if name in ("mul", "div") else set()
        # Factors become part of the weights, which have no axes but the features.
        return features if varies <= set(features) else None

    def _is_constant(self, atom: Any) -> bool:
        return is_literal(atom) or self.levels[atom] == _CONSTANT

    def _varies(self, atom: Any) -> set[int]:
        """Axes along which a constant may differ."""
        shape = atom.aval.shape
        everywhere = {k for k, size in enumerate(shape) if size > 1}
        if is_literal(atom) or not everywhere or atom not in self.producers:
            return everywhere
        equation = self.producers[atom]
        if equation.primitive.name == "broadcast_in_dim":
            inner = self._varies(equation.invars[0])
            places = equation.params["broadcast_dimensions"]
            return {places[k] for k in inner}
        if is_elementwise(equation):
            parts = [a for a in equation.invars if len(a.aval.shape) == len(shape)]
            return set().union(*map(self._varies, parts)) & everywhere
        return everywhere

    def regions(self) -> list[Block]:
        """Functions of one value that is read more than once, or by a choice."""
        dominators = self._dominators()
        found: list[Block] = []
        for equation in self.jaxpr.eqns:
            if equation.outvars[0] not in self.live:
                continue
            read = [v for v in _variables(equation) if self.levels[v] != _CONSTANT]
            if len(read) < 2 or equation.primitive.name not in _IN_REGIONS:
                continue
            root = dominators[equation.outvars[0]]
            region = self._between(root, equation)
            if region is None:
                continue
            if root not in self.live:
                continue
            if found and root is found[-1].outputs[0] and self._only_in(root, region):
                before = found[-1]
                if before.kind == "affine":
                    region, root = [*before.equations, *region], before.inputs[0]
            kind = self._region_kind(region, root, equation.outvars[0])
            block = self.block(kind, region, [root], [equation.outvars[0]])
            inner = set(map(id, block.equations))
            found = [b for b in found if not inner & set(map(id, b.equations))]
            found.append(block)
        return found

    def _dominators(self) -> dict[Any, Any]:
        """For each value, the last that all ways from the images to it go through."""
        (images,) = self.jaxpr.invars
        parent: dict[Any, Any] = {images: None}
        depth = {images: 0}

        def common(a: Any, b: Any) -> Any:
            while a is not b:
                if depth[a] < depth[b]:
                    a, b = b, a
                a = parent[a]
            return a

        for equation in self.jaxpr.eqns:
            read = [v for v in _variables(equation) if self.levels[v] != _CONSTANT]
            if not read:
                continue
            nearest = read[0]
            for other in read[1:]:
                nearest = common(nearest, other)
            for variable in equation.outvars:
                parent[variable], depth[variable] = nearest, depth[nearest] + 1
        return parent

    def _between(self, root: Any, last: Equation) -> list[Equation] | None:
        """The equations from a value to one that reads it twice, if these are all."""
        region: dict[int, Equation] = {}
        stack = [last]
        while stack:
            equation = stack.pop()
            if id(equation) in region:
                continue
            name = equation.primitive.name
            if not (name in _IN_REGIONS or is_elementwise(equation)):
                return None
            region[id(equation)] = equation
            for variable in _variables(equation):
                if variable is not root and self.levels[variable] != _CONSTANT:
                    stack.append(self.producers[variable])
        for equation in region.values():
            for variable in equation.outvars:
                if equation is not last and not self._only_in(
                    variable, list(region.values())
                ):
                    return None
        return list(region.values())

    def _only_in(self, variable: Any, region: Sequence[Equation]) -> bool:
        """Whether nothing outside of some equations reads a value."""
        inside = set(map(id, region))
        readers = self.readers.get(variable, ())
        return not self.results[variable] and all(id(e) in inside for e in readers)

    def _region_kind(self, region: Sequence[Equation], root: Any, result: Any) -> str:
        """Whether a region is a function of each entry, affine, or a normalizer."""
        ordered = sorted(region, key=lambda e: self.order[id(e)])
        if all(map(is_elementwise, ordered)):
            return shape_of_function(ordered, root, result) or "activation"
        carrying = [e for e in ordered if e.outvars[0] in self.live]
        if all(_is_affine(e, self.live) for e in carrying):
            return "affine"
        names = {e.primitive.name for e in carrying}
        return "softmax" if "exp" in names else "norm"


def feature_axes(core: Equation, live: set[Any]) -> tuple[int, ...]:
    """Axes of a layer's result that only its weights decide on."""
    if core.primitive.name == "dot_general":
        (left, right), (batch, _) = core.params["dimension_numbers"]
        free_left = len(core.invars[0].aval.shape) - len(left) - len(batch)
        split = len(batch) + free_left
        rank = len(core.outvars[0].aval.shape)
        shared = range(len(batch))
        if core.invars[0] in live:
            return (*shared, *range(split, rank))
        return (*shared, *range(len(batch), split))
    from xattr.program._convolution import convolution

    return (convolution(core).axes[2][1],)


def _through_units(
    before: Sequence[int], after: Sequence[int], features: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Axes after a reshape that only adds or drops axes of size one."""
    kept = [k for k, size in enumerate(before) if size != 1]
    places = [k for k, size in enumerate(after) if size != 1]
    if [before[k] for k in kept] != [after[k] for k in places]:
        return None
    return tuple(place for k, place in zip(kept, places, strict=True) if k in features)


def _is_zero(atom: Any) -> bool:
    return is_literal(atom) and not float(atom.val)


def _is_affine(equation: Equation, live: set[Any]) -> bool:
    """Whether an equation is affine in what it reads that carries relevance."""
    name = equation.primitive.name
    reads = [not is_literal(a) and a in live for a in equation.invars]
    if name not in _AFFINE:
        return False
    if name == "mul":
        return sum(reads) == 1
    if name == "div":
        return not reads[1]
    if name == "select_n":
        return not reads[0]
    return True


def _kind(equation: Equation, inputs: Sequence[Any]) -> str:
    """What a composite knows a single equation as."""
    name, known = equation.primitive.name, operation(equation)
    if known in ("softmax", "log_softmax", "logsumexp"):
        return "softmax"
    if name in _STRUCTURAL:
        return "structural"
    if name in _SUMS:
        return "pool"
    if name in _MAXIMA or known == "max_pool":
        return "max_pool"
    if len(inputs) == 1:
        if name in ("add", "add_any", "sub", "mul", "neg") or (
            name == "div" and equation.invars[0] is inputs[0]
        ):
            return "affine" if equation.invars.count(inputs[0]) == 1 else "activation"
        if name == "select_n":
            return "structural"
        if is_elementwise(equation):
            root, result = inputs[0], equation.outvars[0]
            return shape_of_function([equation], root, result) or "activation"
    if name in ("add", "add_any", "sub"):
        return "sum"
    if name in ("mul", "div", "dot_general"):
        return "product"
    if name in ("max", "min", "select_n", "clamp"):
        return "structural"
    return "unknown"
