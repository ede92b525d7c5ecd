"""The folder that a run writes, and names in it."""

import os
import re
import tempfile
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

MARK = "run.json"
PARTS = ("overlays", "maps")
RESULTS = ("overlays/*/*.png", "maps/*.npz")
PAGES = re.compile(r"index(-\d+)?\.html|predictions\.(csv|parquet)|run\.json")

MAX_BYTES = 120
RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]", re.IGNORECASE)


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise unless results can be written to `folder`; leaves nothing behind.

    Raises:
      ValueError: if it is a file, holds something and `overwrite` is off, or holds
        something that no run has written.
      OSError: if it cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`--out` {folder} is a file; give a folder.")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise ValueError(
                f"`--out` {folder} is not empty. Give another folder, or `--overwrite` "
                "to replace the results in it."
            )
        if not (folder / MARK).is_file():
            raise ValueError(
                f"`--out` {folder} holds files that no run has written (there is no "
                f"{MARK}); `--overwrite` leaves them alone. Give another folder."
            )
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(
            f"`--out` {folder} cannot be written to ({error.strerror})."
        ) from error


def make_folder(folder: Path) -> None:
    """Make the folder, and remove what an earlier run wrote, and only that."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in RESULTS:
        for file in folder.glob(pattern):
            file.unlink()
    for part in PARTS:
        for inner in (*sorted((folder / part).glob("*")), folder / part):
            with suppress(OSError):  # not empty, or no folder
                inner.rmdir()
    for file in folder.iterdir():
        if PAGES.fullmatch(file.name):
            file.unlink()


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that it is there whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class Names:
    """Names for results: safe on any file system, no two alike in any case."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}

    def take(self, path: Path) -> str:
        """A name made of a file's, with a number if another file took it."""
        stem = _safe(path.stem)
        name, number = stem, self._last.get(_folded(stem), 1)
        while _folded(name) in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._last[_folded(stem)] = number
        self._taken.add(_folded(name))
        return name


def _safe(stem: str) -> str:
    """Letters and digits of any script, at most 120 bytes of them."""
    letters = unicodedata.normalize("NFC", stem)
    text = "".join(letter if _is_safe(letter) else "_" for letter in letters)
    text = re.sub("_+", "_", text).strip("._-").encode()[:MAX_BYTES]
    name = text.decode("utf-8", "ignore").rstrip("._-") or "image"
    return f"{name}_" if RESERVED.fullmatch(name.split(".")[0]) else name


def _is_safe(letter: str) -> bool:
    """Letters with their marks, digits, and what no system minds."""
    return letter.isalnum() or letter in ".-" or unicodedata.category(letter)[0] == "M"


def _folded(name: str) -> str:
    """The name as a file system compares it that knows no case."""
    return unicodedata.normalize("NFC", name.casefold())


def _umask() -> int:
    """The process's mask for new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
