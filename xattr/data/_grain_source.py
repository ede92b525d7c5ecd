"""A data set that is any random-access source of grain's kind."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from xattr.data._fingerprint import checksum, digest, spread
from xattr.data._record import Record, Refused
from xattr.data._sources import display_name, encodable


class RandomAccess(Protocol):
    """What grain calls a `RandomAccessDataSource`."""

    def __len__(self) -> int:
        """How many items there are."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """The item at `index`."""
        ...


class GrainSource:
    """Records from any object with `len` and items by number.

    Args:
      source: its items are records, pixels (uint8 of shape h w 3 or h w 1), encoded
        images as bytes, or mappings that hold one of the two under `image`.
      image: key of the image.
      label: key of the label, a text or a number; may be missing.
      name: key of the name; may be missing: items are then called `#0`, `#1`, ...

    Example:
      >>> pixels = np.zeros((2, 2, 3), np.uint8)
      >>> source = GrainSource([{"image": pixels, "label": "cat"}, pixels])
      >>> [(record.name, record.label) for record in source]
      [('#0', 'cat'), ('#1', '')]
    """

    def __init__(
        self,
        source: RandomAccess,
        *,
        image: str = "image",
        label: str = "label",
        name: str = "name",
    ) -> None:
        self._source = source
        self._image, self._label, self._name = image, label, name

    def __len__(self) -> int:
        """How many items there are."""
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        """The item at `index`, as a record."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{index} is outside of {len(self)} records")
        return as_record(
            self._source[index], f"#{index}", self._image, self._label, self._name
        )

    def describe(self) -> dict[str, Any]:
        """The kind of the source and its length."""
        kind = type(self._source)
        made_from = f"{kind.__module__}.{kind.__qualname__}"
        return {"kind": "grain", "made_from": made_from, "count": len(self)}

    def fingerprint(self) -> str:
        """SHA-256 over the length and up to 64 records, evenly spread.

        Of these count names, labels, sizes and what they hold; of one that cannot be
        read, only where it stands.
        """
        known = [self._known(index) for index in spread(len(self))]
        return digest((entry for entry, _ in known), (value for _, value in known))

    def _known(self, index: int) -> tuple[tuple[str, str, int], int | None]:
        """Name, label, size and checksum of a record, as far as it can be read."""
        place = f"{index} of {len(self)}"
        try:
            record = self[index]
        except Exception:  # reading it says why, in its row
            return (place, "", -1), None
        entry = f"{place}: {record.name}", record.label, _size(record)
        return entry, checksum(record.content)


def as_record(item: Any, name: str, image: str, label: str, name_key: str) -> Record:
    """An item of an unknown source as a record."""
    if isinstance(item, Record):
        name, label = display_name(_text(item.name)), encodable(_text(item.label))
        return item._replace(name=name, label=label)
    if not isinstance(item, Mapping):
        return Record(name, "", _content(item))
    if image not in item:
        keys = ", ".join(map(repr, item))
        return Record(name, "", Refused(f"it has no {image!r}, only {keys}"))
    if name_key in item:
        name = display_name(_text(item[name_key]))
    class_name = encodable(_text(item.get(label, "")))
    return Record(name, class_name, _content(item[image]))


def _content(value: Any) -> Any:
    """Bytes as they are, all else as an array."""
    return bytes(value) if isinstance(value, bytes | bytearray) else np.asarray(value)


def _text(value: Any) -> str:
    """A text, an encoded text, or a number, as text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.item()
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _size(record: Record) -> int:
    """How much there is of a record."""
    match record.content:
        case np.ndarray() as pixels:
            return pixels.size
        case bytes() as data:
            return len(data)
    return -1
