"""A program as blocks, each of which passes relevance on by one rule.

A block is a layer with weights and what is constant after it (so that batch norm is
part of it), a function of one value that is used several times (`x * (x > 0)`, a layer
norm), or one equation. Blocks don't overlap, and every value that carries relevance is
the result of one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xattr.program._carrying import Block, Carrying
from xattr.program._elementwise import ELEMENTWISE, is_elementwise, shape_of_function
from xattr.program._layer import find_layers
from xattr.program._trace import Equation, is_literal, operation

_STRUCTURAL = {
    "broadcast_in_dim",
    "concatenate",
    "convert_element_type",
    "copy",
    "dynamic_slice",
    "dynamic_update_slice",
    "gather",
    "name",
    "optimization_barrier",
    "pad",
    "reduce_precision",
    "reshape",
    "rev",
    "scatter",
    "select_n",
    "sharding_constraint",
    "slice",
    "split",
    "squeeze",
    "stack",
    "tile",
    "transpose",
}
_SUMS = {"reduce_sum", "reduce_window_sum", "cumsum"}
_MAXIMA = {"reduce_max", "reduce_window_max"}
_MINIMA = {"reduce_min", "reduce_window_min"}
# What a norm or a softmax is made of.
_PARTS = (
    ELEMENTWISE
    | {"broadcast_in_dim", "reshape", "squeeze", "transpose", "iota"}
    | {"reduce_sum", "reduce_max", "reduce_min"}
)
_EXPONENTIALS = {"exp", "exp2"}
_ROOTS = {"rsqrt", "sqrt", "pow", "integer_pow"}


@dataclass(frozen=True)
class Blocks:
    """A program's blocks and its other equations, in an order to run them in.

    Attributes:
      steps: blocks, and equations that carry nothing.
      carrying: what of the program carries.
    """

    steps: tuple[Block | Equation, ...]
    carrying: Carrying


def find_blocks(
    jaxpr: Any,
    names: Mapping[Any, str],
    frozen: frozenset[str] = frozenset(),
    *,
    differences: bool = False,
) -> Blocks:
    """The blocks of a flat program.

    Args:
      jaxpr: without calls that could be read in place.
      names: of the values that are sites.
      frozen: operations whose results are taken as constants. `softmax` and `norm` are
        known by what they compute; of a norm it is what it divides by.
      differences: whether blocks are for differences from a reference, for which a
        norm is what it is made of.
    """

    def stops(equation: Equation) -> bool:
        if operation(equation) in frozen or id(equation) in stopped:
            return True
        return equation.primitive.name == "stop_gradient"

    stopped: set[int] = set()
    found = _parted(Carrying(jaxpr, names, stops), differences)
    if frozen & {"softmax", "norm"}:
        for block in found.steps:
            if isinstance(block, Block) and block.kind in frozen:
                stopped.update(map(id, _normalizing(block)))
        found = _parted(Carrying(jaxpr, names, stops), differences)
    return found


def _normalizing(block: Block) -> list[Equation]:
    """What of a softmax or a norm is frozen: its result, or what it divides by."""
    if block.kind == "softmax":
        return [block.equations[-1]]
    return [e for e in block.equations if e.primitive.name in _ROOTS]


def _parted(carrying: Carrying, differences: bool) -> Blocks:
    """The program's blocks, and what is left of it."""
    taken: dict[int, Block] = {}
    for block in (*find_layers(carrying), *_functions(carrying, differences)):
        if not any(id(equation) in taken for equation in block.equations):
            taken |= {id(equation): block for equation in block.equations}
    steps: list[Block | Equation] = []
    for equation in carrying.jaxpr.eqns:
        block = taken.get(id(equation))
        if block is not None:
            if equation is block.equations[-1]:
                steps.append(block)
        elif any(v in carrying.live for v in equation.outvars):
            steps.append(_single(carrying, equation))
        else:
            steps.append(equation)
    return Blocks(tuple(steps), carrying)


def _functions(carrying: Carrying, differences: bool) -> list[Block]:
    """Functions of one value that is read more than once, or by a choice."""
    dominator = _dominators(carrying)
    found: list[Block] = []
    for equation in carrying.jaxpr.eqns:
        if equation.primitive.name not in _PARTS:
            continue
        (result,) = equation.outvars
        if result not in carrying.live:
            continue
        if len(carrying.depends(equation)) < 2:
            continue
        root, parts = _widest(carrying, dominator, equation)
        if root not in carrying.live or parts is None:
            continue
        kind = _function_kind(carrying, parts, root, result)
        if kind is None or (differences and kind in ("softmax", "norm")):
            continue
        block = carrying.block(kind, parts, [root], [result])
        inner = set(map(id, block.equations))
        found = [b for b in found if not inner & set(map(id, b.equations))]
        found.append(block)
    return found


def _dominators(carrying: Carrying) -> dict[Any, Any]:
    """For each value, the last that all ways from the images to it go through."""
    (images,) = carrying.jaxpr.invars
    parent: dict[Any, Any] = {images: None}
    depth = {images: 0}

    def common(a: Any, b: Any) -> Any:
        while a is not b:
            if depth[a] < depth[b]:
                a, b = b, a
            a = parent[a]
        return a

    for equation in carrying.jaxpr.eqns:
        read = carrying.depends(equation)
        if not read:
            continue
        nearest = read[0]
        for other in read[1:]:
            nearest = common(nearest, other)
        for variable in equation.outvars:
            parent[variable], depth[variable] = nearest, depth[nearest] + 1
    return parent


def _widest(
    carrying: Carrying, dominator: Mapping[Any, Any], last: Equation
) -> tuple[Any, list[Equation] | None]:
    """The value that an equation is a function of, and what is between.

    A softmax goes on below its exponentials, and a norm below what is centered.
    """
    root = dominator[last.outvars[0]]
    parts = _between(carrying, root, last)
    while parts is not None and not all(map(is_elementwise, parts)):
        before = carrying.producers.get(root)
        if before is None or not carrying.only_in(root, parts):
            break
        exponentials = before.primitive.name in _EXPONENTIALS
        if not exponentials and len(carrying.depends(before)) < 2:
            break
        wider = _between(carrying, dominator[root], last)
        if wider is None:
            break
        root, parts = dominator[root], wider
    return root, parts


def _between(carrying: Carrying, root: Any, last: Equation) -> list[Equation] | None:
    """The equations from a value to one that reads it twice, if these are all."""
    parts: dict[int, Equation] = {}
    stack = [last]
    while stack:
        equation = stack.pop()
        if id(equation) in parts:
            continue
        if not (equation.primitive.name in _PARTS or is_elementwise(equation)):
            return None
        parts[id(equation)] = equation
        for variable in carrying.depends(equation):
            if variable is not root:
                stack.append(carrying.producers[variable])
    equations = list(parts.values())
    inside = (v for e in equations if e is not last for v in e.outvars)
    closed = all(carrying.only_in(variable, equations) for variable in inside)
    return equations if closed else None


def _function_kind(
    carrying: Carrying, parts: Sequence[Equation], root: Any, result: Any
) -> str | None:
    """What a function of one value is; None if it is better taken apart."""
    if root.aval.shape != result.aval.shape:
        return None
    ordered = sorted(parts, key=lambda e: carrying.order[id(e)])
    if all(map(is_elementwise, ordered)):
        shape = shape_of_function(ordered, root, result, carrying.producers)
        return shape or "activation"
    if _is_softmax(ordered):
        return "softmax"
    return "norm" if any(e.primitive.name in _ROOTS for e in ordered) else None


def _is_softmax(ordered: Sequence[Equation]) -> bool:
    """Whether exponentials are divided by their sum, or its logarithm taken off."""
    producers = {e.outvars[0]: e for e in ordered}

    def origin(atom: Any, passing: set[str]) -> Any:
        while not is_literal(atom) and atom in producers:
            equation = producers[atom]
            if equation.primitive.name not in passing:
                return equation
            atom = equation.invars[0]
        return None

    moves = {"broadcast_in_dim", "convert_element_type", "copy", "reshape", "squeeze"}
    last = ordered[-1]
    if last.primitive.name not in ("div", "sub"):
        return False
    # A logarithm of a sum may have the largest value added back.
    logs = {"log", "add"} if last.primitive.name == "sub" else set()
    total = origin(last.invars[1], moves | logs)
    if total is None or total.primitive.name != "reduce_sum":
        return False
    exponentials = origin(total.invars[0], moves)
    if exponentials is None or exponentials.primitive.name not in _EXPONENTIALS:
        return False
    return bool(logs) or origin(last.invars[0], moves) is exponentials


def _single(carrying: Carrying, equation: Equation) -> Block:
    """A block of one equation."""
    inputs = carrying.carried(equation)
    outputs = [v for v in equation.outvars if v in carrying.live]
    kind = _kind(carrying, equation, inputs)
    return carrying.block(kind, [equation], inputs, outputs)


def _kind(carrying: Carrying, equation: Equation, inputs: Sequence[Any]) -> str:
    """What a composite knows a single equation as."""
    name = equation.primitive.name
    if name in _STRUCTURAL:
        return "structural"
    if name in _SUMS:
        return "pool"
    if name in _MAXIMA or operation(equation) == "max_pool":
        return "maximum"
    if name in _MINIMA:
        return "minimum"
    (result, *_) = equation.outvars
    alone = len(inputs) == 1
    same = alone and inputs[0].aval.shape == result.aval.shape
    if alone and _is_affine(equation, inputs[0]):
        # Where a constant has more entries, one is repeated, as a sum's is read.
        return "affine" if same else "sum"
    if same and is_elementwise(equation):
        shape = shape_of_function([equation], inputs[0], result, carrying.producers)
        return shape or "activation"
    if alone and name == "dot_general" and equation.invars.count(inputs[0]) == 1:
        return "sum"
    return "unknown" if alone and name == "div" else _JOINING.get(name, "unknown")


def _is_affine(equation: Equation, value: Any) -> bool:
    """Whether one value is moved and scaled by constants."""
    once = equation.invars.count(value) == 1
    divided = equation.primitive.name == "div" and equation.invars[0] is value
    return once and (divided or equation.primitive.name in _AFFINE)


_AFFINE = {"add", "add_any", "sub", "mul", "neg"}

# What two values that carry come to.
_JOINING = {
    "add": "sum",
    "add_any": "sum",
    "sub": "sum",
    "mul": "product",
    "dot_general": "product",
    "div": "quotient",
    "scatter-add": "sum",
    "max": "maximum",
    "min": "minimum",
}
