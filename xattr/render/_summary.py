"""Figures of a whole run, for the first page."""

from collections.abc import Sequence
from dataclasses import dataclass

from xattr.render._names import plain_name


@dataclass(frozen=True)
class MapCounts:
    """How many of a method's maps can be drawn, and why the others can't.

    Attributes:
      method: the method's name in the library.
      drawn: finite and somewhere not zero.
      zero: zero everywhere.
      not_finite: with a value that is no number.
      failed: not computed.
    """

    method: str
    drawn: int
    zero: int = 0
    not_finite: int = 0
    failed: int = 0

    @property
    def title(self) -> str:
        """The method's published name."""
        return plain_name(self.method)

    @property
    def total(self) -> int:
        """Records that the method was to explain."""
        return self.drawn + self.zero + self.not_finite + self.failed


@dataclass(frozen=True)
class Summary:
    """Figures of a whole run.

    Attributes:
      statuses: kinds of records, and how many there are of each.
      probabilities: number of explained classes by their probability, in bins of one
        width from 0 to 1.
      predictions: the classes that are predicted most often, and how often.
      num_predicted: how many classes are predicted at all.
      maps: by method.
    """

    statuses: Sequence[tuple[str, int]]
    probabilities: Sequence[int]
    predictions: Sequence[tuple[str, int]]
    num_predicted: int
    maps: Sequence[MapCounts]

    @property
    def num_records(self) -> int:
        """How many records the figures are of."""
        return sum(count for _, count in self.statuses)
