"""Exact local update: only what a local change of the images reaches is computed again.

A rectangle changed in the image changes a window of each activation. The activations
of the clean image are kept; for each change, every operation is done on its window
alone, its surroundings taken from what was kept. From the first operation that mixes
all positions on, all is computed. The idea is Krypton's ([nakandala2019incremental]),
without its approximations.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jaxtyping import Array, Int, PyTree

from xattr._types import Images, Predictor
from xattr.program._convolution import convolution, convolve
from xattr.program._flat import flatten
from xattr.program._regions import local, multiply_adds
from xattr.program._spans import (
    Border,
    Cut,
    Kept,
    Local,
    Region,
    Span,
    cuts_of,
    extents,
    span,
)
from xattr.program._trace import is_literal, run_equation, run_equations, trace


class Boxes(NamedTuple):
    """Rectangles of the images' axes after the first, one row each.

    Attributes:
      low: first pixel along each axis, `p a`.
      high: first pixel after it, likewise.
    """

    low: np.ndarray
    high: np.ndarray


class Savings(NamedTuple):
    """Multiply-adds of the convolutions and products for one change of one image."""

    whole: int
    local: int

    @property
    def factor(self) -> float:
        """How many times less the local update computes."""
        return self.whole / max(self.local, 1)


def local_savings(model: Predictor, image: Images, boxes: Boxes) -> Savings:
    """What the local update of one image `1 ...` saves; the image may be abstract."""
    program = flatten(trace(model, image), image)
    plan = Plan(program.jaxpr, boxes)
    whole = part = 0
    for equation in program.jaxpr.eqns:
        shapes = [variable.aval.shape for variable in equation.outvars]
        whole += multiply_adds(equation, shapes)
        parts = [plan.held(v) for v in equation.outvars if v in plan.regions]
        part += multiply_adds(equation, parts) if parts else 0
    return Savings(whole, part)


def local_outputs(
    model: Predictor, image: Images, replacement: Images, boxes: Boxes
) -> Callable[[Int[Array, ""]], PyTree]:
    """Outputs for one image `1 ...` as a function of which box of it is replaced.

    What the changes share is computed here, once.
    """
    program = trace(model, image)
    flat = flatten(program, image)
    plan = Plan(flat.jaxpr, boxes)
    clean = _clean(flat, plan, image)

    def outputs(change: Int[Array, ""]) -> PyTree:
        first = _replaced(image, replacement, plan.first, boxes, change)
        results = _evaluate(flat.jaxpr, plan, clean, first, change)
        return jax.tree.unflatten(program.outputs, results)

    return outputs


class Plan:
    """What is reached of each value of a program, and how each operation is done.

    Attributes:
      first: what is reached of the images.
      regions: what is reached of each value that anything reaches.
      steps: the operations to be done for each change; None for one done whole.
      reads: the clean values that are read, and how they are kept.
    """

    def __init__(self, jaxpr: core.Jaxpr, boxes: Boxes):
        images: Any = jaxpr.invars[0]
        sizes = images.aval.shape[1:]
        self.first: Region = {
            axis + 1: span(boxes.low[:, axis], boxes.high[:, axis], sizes[axis])
            for axis in range(boxes.low.shape[1])
        }
        self.regions: dict[Any, Region] = {images: self.first}
        self.steps: list[tuple[Any, Local | None]] = []
        self.reads: set[tuple[Any, Kept]] = set()
        for equation in jaxpr.eqns:
            self._add(equation)
        for atom in jaxpr.outvars:
            self._read(atom, None)

    def held(self, atom: Any) -> tuple[int, ...]:
        """Shape of what is held of a value."""
        return extents(atom.aval.shape, self.regions[atom])

    def _add(self, equation: Any) -> None:
        reached = [
            None if is_literal(atom) else self.regions.get(atom)
            for atom in equation.invars
        ]
        if all(each is None for each in reached):
            return
        way = local(equation, reached)
        everything = tuple((place, None) for place in range(len(reached)))
        for place, kept in way.reads if way else everything:
            self._read(equation.invars[place], kept)
        made = way.regions if way else [{}] * len(equation.outvars)
        self.regions.update(zip(equation.outvars, made, strict=True))
        self.steps.append((equation, way))

    def _read(self, atom: Any, kept: Kept) -> None:
        # What is held whole is never read clean.
        if is_literal(atom) or (
            atom in self.regions and self.held(atom) == tuple(atom.aval.shape)
        ):
            return
        self.reads.add((atom, kept))


def _clean(
    program: core.ClosedJaxpr, plan: Plan, image: Images
) -> dict[tuple[Any, Kept], Any]:
    """Values of the clean image that changes read, as they are kept."""
    jaxpr = program.jaxpr
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, program.consts, strict=True))
    values[jaxpr.invars[0]] = image
    run_equations(jaxpr.eqns, values, _whole)
    return {
        (atom, kept): values[atom] if kept is None else kept(values[atom])
        for atom, kept in plan.reads
    }


def _whole(equation: Any, operands: Sequence[Any]) -> list[Any]:
    """Results of one equation, a convolution's in the form that is fastest."""
    if equation.primitive.name == "conv_general_dilated":
        return [convolve(operands[0], operands[1], convolution(equation))]
    return run_equation(equation, operands)


def _evaluate(
    jaxpr: core.Jaxpr,
    plan: Plan,
    clean: dict[tuple[Any, Kept], Any],
    first: Any,
    change: Int[Array, ""],
) -> list[Any]:
    parts: dict[Any, Any] = {jaxpr.invars[0]: first}

    def part(atom: Any, cuts: dict[int, Cut], kept: Kept = None) -> Any:
        if is_literal(atom):
            return atom.val
        around = clean.get((atom, kept))
        if atom not in parts:
            return _cut(around, cuts, change)
        return _inserted(around, parts[atom], plan.regions[atom], cuts, kept, change)

    for equation, way in plan.steps:
        if way is None:
            results = _whole(equation, [part(a, {}) for a in equation.invars])
        else:
            results = way.evaluate(
                lambda place, cuts, kept=None, atoms=equation.invars: part(
                    atoms[place], cuts, kept
                )
            )
        parts.update(zip(equation.outvars, results, strict=True))
    return [part(atom, {}) for atom in jaxpr.outvars]


def _at(table: np.ndarray, change: Any) -> Any:
    """A change's entry of a table; plain where it is the same for all."""
    if (table == table[0]).all():
        return np.int32(table[0])
    return jnp.asarray(table.astype(np.int32))[change]


def _cut(value: Any, cuts: dict[int, Cut], change: Any) -> Any:
    if not cuts:
        return value
    starts, sizes = [np.int32(0)] * value.ndim, list(value.shape)
    for axis, cut in cuts.items():
        starts[axis], sizes[axis] = _at(cut.start, change), cut.extent
    return jax.lax.dynamic_slice(value, starts, sizes)


def _inserted(
    clean: Any,
    part: Any,
    region: Region,
    cuts: dict[int, Cut],
    kept: Kept,
    change: Any,
) -> Any:
    """A part among its surroundings, as much of them as the cuts hold."""
    if clean is None:  # all of it is held: there are no surroundings but the border
        return _cut(part if kept is None else kept(part), cuts, change)
    border = kept.sizes if isinstance(kept, Border) else ((0, 0),) * part.ndim
    whole = {
        axis: Cut(np.zeros_like(each.start), clean.shape[axis])
        for axis, each in region.items()
    }
    cuts = whole | cuts
    moved_axes = [
        axis
        for axis in range(part.ndim)
        if border[axis] != (0, 0)
        or (axis in cuts and not (axis in region and _same(region[axis], cuts[axis])))
    ]
    if not moved_axes:
        return part
    around = _cut(clean, cuts, change)
    moved, inside = part, jnp.ones((1,) * part.ndim, bool)
    for axis in moved_axes:
        size, length = around.shape[axis], part.shape[axis]
        start = region[axis].start if axis in region else np.zeros(1, int)
        cut = cuts[axis].start if axis in cuts else np.zeros(1, int)
        offset = _at(start + border[axis][0] - cut, change)
        entry = np.arange(size, dtype=np.int32) - offset
        moved = jnp.take(moved, jnp.clip(entry, 0, length - 1), axis=axis)
        here = (entry >= 0) & (entry < length)
        inside = inside & here.reshape(
            [size if i == axis else 1 for i in range(part.ndim)]
        )
    return jnp.where(inside, moved, around)


def _same(span: Span, cut: Cut) -> bool:
    return span.extent == cut.extent and bool((span.start == cut.start).all())


def _replaced(
    image: Any, replacement: Any, region: Region, boxes: Boxes, change: Any
) -> Any:
    """The part of the image that is held, with the box replaced."""
    held = cuts_of(region)
    clean, new = _cut(image, held, change), _cut(replacement, held, change)
    inside = jnp.ones((1,) * clean.ndim, bool)
    for column in range(boxes.low.shape[1]):
        axis = column + 1
        start = (
            held[axis].start if axis in held else np.zeros_like(boxes.low[:, column])
        )
        low = _at(boxes.low[:, column] - start, change)
        high = _at(boxes.high[:, column] - start, change)
        entry = np.arange(clean.shape[axis], dtype=np.int32)
        shape = [len(entry) if i == axis else 1 for i in range(clean.ndim)]
        here = ((entry >= low) & (entry < high)).reshape(shape)
        inside = inside & here
    return jnp.where(inside, new, clean)
