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
from jaxtyping import Array, Int, PyTree

from xattr._types import Images, Predictor
from xattr.program import _regions
from xattr.program._edit import record
from xattr.program._flat import Flat, Reference, Step, Written, flatten
from xattr.program._regions import Border, Cut, Local, Region, Span
from xattr.program._sites import read as reading
from xattr.program._trace import run_equation, trace


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
    flat = flatten(trace(model, image, plain=True))
    return _savings(flat, _plan(flat, image.shape, boxes))


def local_outputs(
    model: Predictor, image: Images, replacement: Images, boxes: Boxes
) -> Callable[[Int[Array, ""]], PyTree]:
    """Outputs for one image `1 ...` as a function of which box of it is replaced.

    What the changes share is computed here, once.
    """
    program = trace(model, image, plain=True)
    flat = flatten(program)
    plan = _plan(flat, image.shape, boxes)
    clean = _clean(flat, plan, image)

    def evaluate(change: Int[Array, ""]) -> PyTree:
        first = _replaced(image, replacement, plan.regions[flat.images], boxes, change)
        outputs = _evaluate(flat, plan, clean, first, change)
        return jax.tree.unflatten(program.outputs, outputs)

    return evaluate


def receptive_field(
    model: Predictor,
    images: Images,
    site: str,
    unit: Sequence[int],
    *,
    axes: str | None = None,
) -> tuple[tuple[int, int], ...]:
    """The part of the images that a unit of a site depends on.

    Args:
      model: function from a batch of images to outputs.
      images: a batch of the shape and type that the model takes; may be abstract.
      site: exact name or module path of the activation.
      unit: its place along the site's spatial axes, rows first.
      axes: which axis of the site is which, such as `nhwc`; read from the model when
        None.

    Returns:
      For each spatial axis of the images, the first entry and the first after the last.
      All of the axis where the site mixes positions in a way that is not known.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, its axes can't be
        read, or the unit lies outside of it.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def model(x):
      ...     pooled = jax.lax.reduce_window(
      ...         x, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 2, 2, 1), "VALID"
      ...     )
      ...     return jax.nn.relu(pooled).sum((1, 2))
      >>> images = jnp.ones((1, 9, 9, 1))
      >>> receptive_field(model, images, "sum_pool:0", (0, 2), axes="nhwc")
      ((0, 3), (4, 7))

    References:
      [zeiler2014visualizing] shows such parts for the strongest units.
    """
    one = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
    letters = "dhw"[5 - images.ndim :]
    found = reading(trace(model, one, plain=True)).select(site)
    places = _places(found.axes if axes is None else axes, site, letters)
    flat = flatten(trace(lambda x: record(model, x, site)[site], one, plain=True))
    shape = jax.eval_shape(lambda x: record(model, x, site)[site], one).shape
    sizes = tuple(shape[axis] for axis in places)
    if len(unit) != len(sizes) or not all(
        0 <= u < s for u, s in zip(unit, sizes, strict=True)
    ):
        raise ValueError(
            f"`unit`={tuple(unit)}; `site`={site!r} has {sizes} places, so that it "
            f"must be a number below each: `unit={tuple(s // 2 for s in sizes)}`."
        )
    return tuple(
        _reaching(flat, one.shape, 1 + i, axis, place)
        for i, (axis, place) in enumerate(zip(places, unit, strict=True))
    )


def _places(axes: str, site: str, letters: str) -> tuple[int, ...]:
    """Where the spatial axes stand."""
    if any(axes.count(letter) != 1 for letter in letters):
        raise ValueError(
            f"`site`={site!r} has axes {axes!r}; a receptive field needs one for each "
            f"of {letters!r}. Say which axis is which with `axes=`, for example "
            f"`axes='nhwc'`, or choose a site with `xattr.sites(model, images)`."
        )
    return tuple(axes.index(letter) for letter in letters)


def _reaching(
    flat: Flat, shape: Sequence[int], axis: int, site_axis: int, place: int
) -> tuple[int, int]:
    """First and last entry of an axis of the images that reaches a place of a value."""
    size = shape[axis]
    low = np.zeros((size, len(shape) - 2), int)
    high = np.broadcast_to(shape[1:-1], low.shape).copy()
    low[:, axis - 1], high[:, axis - 1] = np.arange(size), np.arange(size) + 1
    (output,) = flat.outputs
    reached = _plan(flat, shape, Boxes(low, high)).regions.get(output, {})
    if site_axis not in reached:
        return 0, size
    span = reached[site_axis]
    entries = np.flatnonzero((span.low <= place) & (place < span.high))
    return (int(entries[0]), int(entries[-1]) + 1) if len(entries) else (0, 0)


class _Plan(NamedTuple):
    """How each step is done: not again, on parts, or (None) whole."""

    regions: dict[int, Region]
    locals: dict[int, Local | None]
    reads: frozenset[tuple[int, Border | None]]


def _plan(flat: Flat, shape: Sequence[int], boxes: Boxes) -> _Plan:
    first = {
        axis + 1: _regions.span(
            boxes.low[:, axis], boxes.high[:, axis], shape[axis + 1]
        )
        for axis in range(boxes.low.shape[1])
    }
    regions: dict[int, Region] = {flat.images: first}
    shapes = {flat.images: tuple(shape)}
    done: dict[int, Local | None] = {}
    reads: set[tuple[int, Border | None]] = {(flat.images, None)}
    for place, step in enumerate(flat.steps):
        reached = [_region(regions, each) for each in step.operands]
        if all(each is None for each in reached):
            continue
        local = _regions.local(step.equation, reached)
        done[place] = local
        needs = local.reads if local else [(i, None) for i in range(len(reached))]
        for operand, border in needs:
            reference = step.operands[operand]
            # What is held whole is never read clean.
            if isinstance(reference, Written) or (
                reference in regions
                and _regions.is_whole(shapes[reference], regions[reference])
            ):
                continue
            reads.add((reference, border))
        made = local.regions if local else [{}] * len(step.results)
        regions.update(zip(step.results, made, strict=True))
        shapes.update(
            (result, variable.aval.shape)
            for result, variable in zip(
                step.results, step.equation.outvars, strict=True
            )
        )
    for each in flat.outputs:
        held = each in regions and _regions.is_whole(shapes[each], regions[each])
        if not isinstance(each, Written) and not held:
            reads.add((each, None))
    return _Plan(regions, done, frozenset(reads))


def _region(regions: dict[int, Region], reference: Reference) -> Region | None:
    return None if isinstance(reference, Written) else regions.get(reference)


def _savings(flat: Flat, plan: _Plan) -> Savings:
    whole = local = 0
    for place, step in enumerate(flat.steps):
        shapes = [v.aval.shape for v in step.equation.outvars]
        whole += _regions.multiply_adds(step.equation, shapes)
        if place in plan.locals:
            parts = [
                _regions.extents(shape, plan.regions[result])
                for shape, result in zip(shapes, step.results, strict=True)
            ]
            local += _regions.multiply_adds(step.equation, parts)
    return Savings(whole, local)


def _clean(flat: Flat, plan: _Plan, image: Images) -> dict[Any, Any]:
    """Values of the clean image that changes read, with the border they need."""
    wanted = {number for number, _ in plan.reads}
    values: dict[int, Any] = {n: v for n, v in flat.given.items() if n in wanted}

    def keep(number: int, value: Any) -> None:
        if number in wanted:
            values[number] = value

    flat.run(image, keep)
    return {
        (number, border): _bordered(values[number], border)
        for number, border in plan.reads
    }


def _bordered(value: Any, border: Border | None) -> Any:
    if border is None:
        return value
    return jnp.pad(value, border.sizes, constant_values=border.fill)


def _evaluate(
    flat: Flat, plan: _Plan, clean: dict[Any, Any], first: Any, change: Int[Array, ""]
) -> list[Any]:
    parts: dict[int, Any] = {flat.images: first}

    def reader(step: Step) -> _regions.Reader:
        def part(place: int, cuts: dict[int, Cut], border: Border | None = None) -> Any:
            reference = step.operands[place]
            if isinstance(reference, Written):
                return reference.value
            surroundings = clean.get((reference, border))
            if reference not in parts:
                return _cut(surroundings, cuts, change)
            region = plan.regions[reference]
            return _inserted(
                surroundings, parts[reference], region, cuts, border, change
            )

        return part

    for place, local in plan.locals.items():
        step = flat.steps[place]
        if local is None:
            operands = [reader(step)(i, {}) for i in range(len(step.operands))]
            results = run_equation(step.equation, operands)
        else:
            results = local.evaluate(reader(step))
        parts.update(zip(step.results, results, strict=True))

    def output(reference: Reference) -> Any:
        if isinstance(reference, Written):
            return reference.value
        around = clean.get((reference, None))
        if reference not in parts:
            return around
        region = plan.regions[reference]
        return _inserted(around, parts[reference], region, {}, None, change)

    return [output(reference) for reference in flat.outputs]


def _at(table: np.ndarray, change: Any) -> Any:
    """A change's entry of a table; plain where it is the same for all."""
    if (table == table[0]).all():
        return np.int32(table[0])
    return jnp.asarray(table.astype(np.int32))[change]


def _cut(value: Any, cuts: dict[int, Cut], change: Any) -> Any:
    starts = [
        _at(cuts[i].start, change) if i in cuts else np.int32(0)
        for i in range(value.ndim)
    ]
    sizes = [cuts[i].extent if i in cuts else s for i, s in enumerate(value.shape)]
    return jax.lax.dynamic_slice(value, starts, sizes) if cuts else value


def _inserted(
    clean: Any,
    part: Any,
    region: Region,
    cuts: dict[int, Cut],
    border: Border | None,
    change: Any,
) -> Any:
    """A part among its surroundings, as much of them as the cuts hold."""
    if clean is None:  # all of it is held: there are no surroundings but the border
        return _cut(_bordered(part, border), cuts, change)
    before = [0] * part.ndim if border is None else [low for low, _ in border.sizes]
    whole = {
        axis: Cut(np.zeros_like(each.start), clean.shape[axis])
        for axis, each in region.items()
    }
    cuts = whole | cuts
    if not any(before) and all(
        axis in region and _same(region[axis], cut) for axis, cut in cuts.items()
    ):
        return part
    around = _cut(clean, cuts, change)
    moved, inside = part, jnp.ones((1,) * part.ndim, bool)
    for axis, size in enumerate(around.shape):
        if axis not in region and axis not in cuts and not before[axis]:
            continue
        start = region[axis].start if axis in region else np.zeros(1, int)
        cut = cuts[axis].start if axis in cuts else np.zeros(1, int)
        offset = _at(start + before[axis] - cut, change)
        entry = np.arange(size, dtype=np.int32) - offset
        length = part.shape[axis]
        moved = jnp.take(moved, jnp.clip(entry, 0, length - 1), axis=axis)
        shape = [size if i == axis else 1 for i in range(part.ndim)]
        here = ((entry >= 0) & (entry < length)).reshape(shape)
        inside = inside & here
    return jnp.where(inside, moved, around)


def _same(span: Span, cut: Cut) -> bool:
    return span.extent == cut.extent and bool((span.start == cut.start).all())


def _replaced(
    image: Any, replacement: Any, region: Region, boxes: Boxes, change: Any
) -> Any:
    """The part of the image that is held, with the box replaced."""
    cuts = _regions.cuts(region)
    clean, new = _cut(image, cuts, change), _cut(replacement, cuts, change)
    inside = jnp.ones((1,) * clean.ndim, bool)
    for column in range(boxes.low.shape[1]):
        axis = column + 1
        start = (
            cuts[axis].start if axis in cuts else np.zeros_like(boxes.low[:, column])
        )
        low = _at(boxes.low[:, column] - start, change)
        high = _at(boxes.high[:, column] - start, change)
        entry = np.arange(clean.shape[axis], dtype=np.int32)
        shape = [len(entry) if i == axis else 1 for i in range(clean.ndim)]
        here = ((entry >= low) & (entry < high)).reshape(shape)
        inside = inside & here
    return jnp.where(inside, new, clean)
