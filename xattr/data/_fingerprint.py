"""Hexadecimal digits that change when a data set does."""

import hashlib
import json
import zlib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

_SAMPLES = 64


def digest(
    entries: Iterable[tuple[str, str, int]], checksums: Iterable[int | None] = ()
) -> str:
    """SHA-256 over entries' names, labels and sizes, and over checksums, in order.

    Checksums that are None add nothing.

    Example:
      >>> digest([("a.png", "cat", 3)]) == digest([("a.png", "dog", 3)])
      False
    """
    state = hashlib.sha256()
    known = (value for value in checksums if value is not None)
    for line in chain(entries, known):
        state.update(json.dumps(line).encode() + b"\n")
    return state.hexdigest()


def spread(count: int) -> list[int]:
    """Up to 64 positions of `count`, evenly spread, the first included.

    Example:
      >>> spread(3), spread(640)[:4], len(spread(10**9))
      ([0, 1, 2], [0, 10, 20, 30], 64)
    """
    return sorted({count * k // _SAMPLES for k in range(_SAMPLES)}) if count else []


def checksum(content: object) -> int | None:
    """CRC-32 of what a record holds, as a zip has it; None if it cannot be read.

    Example:
      >>> checksum(b"123456789") == 0xCBF43926
      True
    """
    match content:
        case bytes():
            return zlib.crc32(content)
        case np.ndarray() if not content.dtype.hasobject:
            form = zlib.crc32(f"{content.dtype} {content.shape}".encode())
            return zlib.crc32(np.ascontiguousarray(content).tobytes(), form)
        case Path():
            return _of_file(content)
    return None


def _of_file(path: Path) -> int | None:
    """CRC-32 of a regular file, read piece by piece."""
    value = 0
    try:
        if not path.is_file():  # a pipe would block
            return None
        with path.open("rb") as file:
            while piece := file.read(2**20):
                value = zlib.crc32(piece, value)
    except (OSError, ValueError):
        return None
    return value
