"""Parts of values: where a local change reaches, and what is held around it.

For each axis of a value: the interval that a change reaches, for all changes at once,
and a cut of one static length that holds it. What is outside is as on the clean images.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np

Ints = np.ndarray


class Span(NamedTuple):
    """What changes reach along one axis.

    Attributes:
      low, high: first entry reached and first after it, for every change.
      start: where the cut begins, for every change.
      extent: length of the cut.
    """

    low: Ints
    high: Ints
    start: Ints
    extent: int


# Axes that are not named are held whole, and each entry may be reached by any change.
Region = dict[int, Span]


class Cut(NamedTuple):
    """Part of one axis: its start for every change, and its length."""

    start: Ints
    extent: int


class Border(NamedTuple):
    """What stands around a value: entries before and after along each axis."""

    sizes: tuple[tuple[int, int], ...]
    fill: float

    def __call__(self, value: Any) -> Any:
        """The value with its border."""
        return jnp.pad(value, self.sizes, constant_values=self.fill)


# How a clean value is kept: as it is, with a border, or prepared for a convolution.
Kept = Callable[[Any], Any] | None


class Reader(Protocol):
    """Parts of an equation's operands, for one change."""

    def __call__(self, place: int, cuts: dict[int, Cut], kept: Kept = None) -> Any:
        """Operand `place` within the cuts, and whole along the other axes."""
        ...


class Local(NamedTuple):
    """How one operation is done on a part.

    Attributes:
      regions: what is reached of each result.
      evaluate: the results within their cuts.
      reads: operands of which the clean value is read, and how it is kept.
    """

    regions: tuple[Region, ...]
    evaluate: Callable[[Reader], list[Any]]
    reads: tuple[tuple[int, Kept], ...]


def span(low: Ints, high: Ints, size: int) -> Span:
    """The interval, clipped to the axis, with a cut around it."""
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    extent = max(1, int((high - low).max()))
    return Span(low, high, np.minimum(low, size - extent), extent)


def cuts_of(region: Region) -> dict[int, Cut]:
    """The cut along each axis of a region."""
    return {axis: Cut(each.start, each.extent) for axis, each in region.items()}


def extents(shape: Sequence[int], region: Region) -> tuple[int, ...]:
    """Shape of what is held of a value."""
    return tuple(
        region[axis].extent if axis in region else size
        for axis, size in enumerate(shape)
    )


def shape_of(atom: Any) -> tuple[int, ...]:
    """Shape of a variable or constant of a program."""
    return atom.aval.shape
