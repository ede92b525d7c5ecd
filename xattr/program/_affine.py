"""Whether what lies above a site is a pooling over space and affine layers."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Array, Float

from xattr._types import Predictor
from xattr.program._axes import reshaped_groups
from xattr.program._convolution import convolution
from xattr.program._sites import Reading, read
from xattr.program._trace import (
    CONV,
    Address,
    Output,
    body,
    inlined,
    is_literal,
    operation,
    trace,
)

# For each axis of a value that depends on the site: whether its entries still stand for
# different positions. None where the value does not depend on the site at all.
Positions = tuple[bool, ...] | None

_UNARY = {"neg", "convert_element_type", "copy", "reduce_precision", "real"}
# Affine whatever the axes, once no axis stands for positions.
_POOLED = {
    "concatenate",
    "cumsum",
    "dynamic_slice",
    "gather",
    "pad",
    "rev",
    "select_n",
    "slice",
    "split",
}


def affine_above(
    model: Predictor, images: Float[Array, "n ..."], site: str, axes: str
) -> str | None:
    """The first operation above a site that is not affine, or tells positions apart.

    None if there is none: then the outputs are an affine function of the site's mean
    over positions, which is what a class activation map rests on.

    Args:
      model: function from a batch of images to outputs.
      images: a batch of the shape and type that the model takes.
      site: exact name or module path.
      axes: the site's axes, `h` and `w` being its positions; any other letters, such
        as `????`, where it is no matter whether positions are pooled.

    Returns:
      The name of the operation's result, as in `sites`; `outputs` where positions are
      never pooled.
    """
    program = trace(model, images)
    reading = read(program)
    start = reading.outputs[reading.select(site).name]
    walk = _Walk(reading, start, tuple(letter in "hw" for letter in axes))
    jaxpr = program.jaxpr.jaxpr
    outputs = walk.run(jaxpr, [None] * len(jaxpr.invars), ())
    if walk.offending is None and any(map(_spread, outputs)):
        return "outputs"
    return walk.offending


class _Walk:
    """A pass over the program that stops minding once one operation has offended."""

    def __init__(self, reading: Reading, start: Output, positions: tuple[bool, ...]):
        self.names = {output: name for name, output in reading.outputs.items()}
        self.start = start
        self.positions = positions
        self.offending: str | None = None

    def run(
        self, jaxpr: Any, operands: Sequence[Positions], prefix: Address
    ) -> list[Positions]:
        """Positions of the program's results."""
        known: dict[Any, Positions] = dict(zip(jaxpr.invars, operands, strict=True))

        def find(atom: Any) -> Positions:
            return None if is_literal(atom) else known.get(atom)

        for index, equation in enumerate(jaxpr.eqns):
            address = (*prefix, index)
            found = [find(atom) for atom in equation.invars]
            inner = _called(equation)
            if inner is not None:
                results = self.run(inner.jaxpr, found, address)
            elif any(positions is not None for positions in found):
                results = self.above(equation, found, address)
            else:
                results = [None] * len(equation.outvars)
            for place, variable in enumerate(equation.outvars):
                at_site = Output(address, place) == self.start
                known[variable] = self.positions if at_site else results[place]
        return [find(atom) for atom in jaxpr.outvars]

    def above(
        self, equation: Any, operands: Sequence[Positions], address: Address
    ) -> list[Positions]:
        """Positions of the results of one operation that depends on the site."""
        result = _affine(equation, operands)
        if result is None:
            name = self.names.get(Output(address, 0), operation(equation))
            self.offending = self.offending or name
        return [
            tuple(
                positions and size > 1
                for positions, size in zip(
                    result or (False,) * len(variable.aval.shape),
                    variable.aval.shape,
                    strict=True,
                )
            )
            for variable in equation.outvars
        ]


def _called(equation: Any) -> Any:
    """The body of a call that only groups operations: their own derivatives count."""
    if equation.primitive.name in ("jit", "pjit"):
        return body(equation)
    return inlined(equation)


def _affine(equation: Any, operands: Sequence[Positions]) -> Positions:
    """Positions of the result; None if the operation is not affine or mixes them."""
    primitive = equation.primitive.name
    rank = len(equation.outvars[0].aval.shape)
    if primitive in _RULES:
        return _RULES[primitive](equation, operands)
    if primitive in _UNARY:
        return operands[0]
    if primitive in _POOLED and not any(map(_spread, operands)):
        chooses = {"select_n": operands[:1], "gather": operands[1:]}
        chooses["dynamic_slice"] = operands[1:]
        depends = any(p is not None for p in chooses.get(primitive, ()))
        return None if depends else (False,) * rank
    return None


def _spread(positions: Positions) -> bool:
    return positions is not None and any(positions)


def _add(equation: Any, operands: Sequence[Positions]) -> Positions:
    rank = len(equation.outvars[0].aval.shape)
    present = [positions for positions in operands if positions]
    return tuple(any(positions[i] for positions in present) for i in range(rank))


def _multiply(equation: Any, operands: Sequence[Positions]) -> Positions:
    left, right = operands
    if left is not None and right is not None:
        return None
    if equation.primitive.name == "div" and right is not None:
        return None
    positions = (left if right is None else right) or ()
    factor = equation.invars[1 if right is None else 0].aval.shape
    shape = equation.outvars[0].aval.shape
    # A factor that differs between positions weighs them: it has to be of size one.
    if any(p and v > 1 for p, v in zip(positions, factor, strict=False)):
        return None
    return positions or (False,) * len(shape)


def _reduce_sum(equation: Any, operands: Sequence[Positions]) -> Positions:
    axes = equation.params["axes"]
    return tuple(p for i, p in enumerate(operands[0] or ()) if i not in axes)


def _transpose(equation: Any, operands: Sequence[Positions]) -> Positions:
    positions = dict(enumerate(operands[0] or ()))
    return tuple(positions[i] for i in equation.params["permutation"])


def _squeeze(equation: Any, operands: Sequence[Positions]) -> Positions:
    dropped = equation.params["dimensions"]
    return tuple(p for i, p in enumerate(operands[0] or ()) if i not in dropped)


def _broadcast(equation: Any, operands: Sequence[Positions]) -> Positions:
    positions = [False] * len(equation.outvars[0].aval.shape)
    for source, place in enumerate(equation.params["broadcast_dimensions"]):
        positions[place] = (operands[0] or ())[source]
    return tuple(positions)


def _reshape(equation: Any, operands: Sequence[Positions]) -> Positions:
    before = equation.invars[0].aval.shape
    after = equation.outvars[0].aval.shape
    positions = [False] * len(after)
    for sources, places in reshaped_groups(before, after):
        kinds = {(operands[0] or ())[i] for i in sources if before[i] > 1}
        if len(kinds) > 1:  # positions and channels become one axis
            return None
        for place in places:
            positions[place] = True in kinds
    return tuple(positions)


def _dot(equation: Any, operands: Sequence[Positions]) -> Positions:
    left, right = operands
    if left is not None and right is not None:
        return None
    (contract_l, contract_r), (batch_l, batch_r) = equation.params["dimension_numbers"]
    results: list[bool] = []
    free: list[bool] = []
    for positions, atom, contract, batch in (
        (left, equation.invars[0], contract_l, batch_l),
        (right, equation.invars[1], contract_r, batch_r),
    ):
        each = positions or (False,) * len(atom.aval.shape)
        if any(each[i] for i in (*contract, *batch)):
            return None
        results = results or [each[i] for i in batch]
        free += [p for i, p in enumerate(each) if i not in (*contract, *batch)]
    return (*results, *free)


def _conv(equation: Any, operands: Sequence[Positions]) -> Positions:
    image, kernel = operands
    conv = convolution(equation)
    images, taps, results = conv.axes
    sizes = {equation.invars[1].aval.shape[i] for i in taps[2:]}
    steps = {*conv.strides, *conv.image_dilation}
    padded = any(pad != (0, 0) for pad in conv.padding)
    pointwise = sizes | steps == {1} and not padded
    if image is None or kernel is not None:
        return None
    if not _spread(image):
        return (False,) * len(results)
    if not pointwise or image[images[1]]:
        return None
    positions = [False] * len(results)
    for source, place in zip(images[2:], results[2:], strict=True):
        positions[place] = image[source]
    return tuple(positions)


def _window_sum(equation: Any, operands: Sequence[Positions]) -> Positions:
    """Sums over windows that tile the positions count each of them once."""
    params = equation.params
    positions = operands[0] or ()
    for place, size in enumerate(equation.invars[0].aval.shape):
        window = params["window_dimensions"][place]
        tiles = size % window == 0 and window in (size, params["window_strides"][place])
        plain = params["padding"][place] == (0, 0) and (
            params["base_dilation"][place] == params["window_dilation"][place] == 1
        )
        if positions[place] and not (tiles and plain):
            return None
    return positions


_RULES = {
    "add": _add,
    "add_any": _add,
    "sub": _add,
    "mul": _multiply,
    "div": _multiply,
    "reduce_sum": _reduce_sum,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "dot_general": _dot,
    "conv_general_dilated": _conv,
    CONV: _conv,
    "reduce_window_sum": _window_sum,
}
