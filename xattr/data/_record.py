"""One entry of a data set, and what every source of them can do."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from xattr.data._read import UnreadableImage, decode_image, read_image


class Refused(NamedTuple):
    """In place of an image that is not even read.

    Attributes:
      reason: why, as the end of a sentence.
      trouble: as in `UnreadableImage`: what ails the machine, if that is why.
    """

    reason: str
    trouble: str = ""


class Record(NamedTuple):
    """An entry of a data set, not decoded yet.

    Attributes:
      name: what tables and pages call it, on one line; no path on this machine.
      label: name of its class; "" if unknown.
      content: a file, an encoded image, its pixels, or why there is none.
    """

    name: str
    label: str
    content: Path | bytes | np.ndarray | Refused


@runtime_checkable
class Source(Protocol):
    """A data set in a fixed order; grain's `RandomAccessDataSource` of records.

    Sources can be pickled, so that worker processes read from them.
    """

    def __len__(self) -> int:
        """How many records there are, readable or not."""
        ...

    def __getitem__(self, index: int) -> Record:
        """The record at `index`, from 0; may be called from several threads."""
        ...

    def describe(self) -> dict[str, Any]:
        """What the source was made from, as JSON takes it."""
        ...

    def fingerprint(self) -> str:
        """Hexadecimal digits that change when the data set does."""
        ...


def pixels_of(record: Record) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a record.

    Args:
      record: what a source gives.

    Returns:
      RGB; an array of one channel is repeated.

    Raises:
      UnreadableImage: with the reason, if there are none.

    Example:
      >>> gray = np.array([[[0], [9]]], np.uint8)
      >>> pixels_of(Record("a", "", gray)).tolist()
      [[[0, 0, 0], [9, 9, 9]]]
    """
    match record.content:
        case Path() as path:
            return read_image(path)
        case bytes() as data:
            return decode_image(data, record.name)
        case np.ndarray() as pixels:
            return _as_rgb(pixels, record.name)
        case Refused(reason, trouble):
            raise UnreadableImage(record.name, reason, trouble)
    kind = type(record.content).__name__
    raise UnreadableImage(record.name, f"its content is of {kind}, which is no image")


def _as_rgb(pixels: np.ndarray, name: str) -> np.ndarray:
    """Check pixels that came decoded."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise UnreadableImage(
            name,
            f"its pixels are {pixels.dtype} of shape {pixels.shape}; "
            "uint8 of shape (h, w, 3) or (h, w, 1) is needed",
        )
    if not pixels.size:
        raise UnreadableImage(name, f"it has no pixels {pixels.shape[:2]}")
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
