"""One record of a source, read and preprocessed, or why there is no image."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xattr.data._read import UnreadableImage
from xattr.data._record import Record, Source, pixels_of
from xattr.data._sources import display_name, encodable
from xattr.data._trouble import SourceLost, trouble_of

Transform = Callable[[np.ndarray], np.ndarray]

# What ails a disk or a server may pass; seconds before each further attempt.
_PAUSES = (0.1, 0.4)


@dataclass(frozen=True, slots=True)
class Slot:
    """A record's place in a tile.

    Attributes:
      index: position of the record in its source.
      name: what the record is called.
      label: its class; "" if unknown.
      reason: why there is no image, as the end of a sentence; "" if there is one.
    """

    index: int
    name: str
    label: str
    reason: str


class Read(NamedTuple):
    """From the position in the stream to a slot and its pixels."""

    source: Source
    tiles: Sequence[int]
    tile_size: int
    transform: Transform
    size: int

    def __call__(
        self, position: int
    ) -> tuple[Slot, bytes | None] | tuple[()] | SourceLost:
        """Read one record, in several attempts; nothing after the last."""
        tile, offset = divmod(position, self.tile_size)
        index = int(self.tiles[tile]) * self.tile_size + offset
        if index >= len(self.source):
            return ()
        for pause in _PAUSES:
            with suppress(SourceLost):
                return self._attempt(index)
            time.sleep(pause)
        try:
            return self._attempt(index)
        except SourceLost as lost:
            if not any(map(self._is_there, (index - 1, index + 1))):
                return lost  # to be raised in the order of records
            reason = f"reading it failed ({lost.trouble})"
            return Slot(index, lost.name, lost.label, reason), None

    def _is_there(self, index: int) -> bool:
        """Whether a record can be read, even if it is damaged."""
        if not 0 <= index < len(self.source):
            return False
        try:
            self._attempt(index)
        except SourceLost:
            return False
        return True

    def _attempt(self, index: int) -> tuple[Slot, bytes | None]:
        """Read one record, once."""
        name, label = f"#{index}", ""
        try:
            record = self.source[index]
            name, label = display_name(str(record.name)), encodable(str(record.label))
        except Exception as error:  # one odd record must not end a run of thousands
            _raise_if_trouble(error, name, label)
            reason = encodable(f"reading it failed ({_told(error)})")
            return Slot(index, name, "", reason), None
        pixels = self._pixels(record, name, label)
        if isinstance(pixels, str):
            return Slot(index, name, label, encodable(pixels)), None
        # As bytes, since arrays would travel in shared memory, which is scarce in
        # containers and left behind by processes that are killed.
        return Slot(index, name, label, ""), pixels.tobytes()

    def _pixels(self, record: Record, name: str, label: str) -> np.ndarray | str:
        """Transformed pixels, or the reason why there are none."""
        try:
            image = pixels_of(record)
        except UnreadableImage as error:
            if error.trouble:
                raise SourceLost(name, label, error.trouble) from error
            return error.reason
        try:
            pixels = np.asarray(self.transform(image))
        except Exception as error:
            _raise_if_trouble(error, name, label)
            return f"preprocessing failed ({_told(error)})"
        if pixels.dtype != np.uint8 or pixels.shape != (self.size, self.size, 3):
            return (
                f"preprocessing gave {pixels.dtype} of shape {pixels.shape} instead "
                f"of uint8 of shape {(self.size, self.size, 3)}"
            )
        return pixels


def _told(error: Exception) -> str:
    """An exception on one line, without the path that a system's error names."""
    text = getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {' '.join(str(text).split())[:200]}"


def _raise_if_trouble(error: Exception, name: str, label: str) -> None:
    """End the run where the machine is what failed."""
    if trouble := trouble_of(error):
        raise SourceLost(name, label, trouble) from error
