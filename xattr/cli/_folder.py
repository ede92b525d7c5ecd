"""The folder that a run writes, and names in it."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

MARK = "run.json"
PARTS = ("overlays", "maps")
PAGES = re.compile(r"index(-\d+)?\.html|predictions\.(csv|parquet)|run\.json")


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
    for part in PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
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

    def take(self, path: Path) -> str:
        """A name made of a file's, with a number if another file took it."""
        letters = re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).strip("._-")
        stem, number = letters[:80] or "image", 1
        name = stem
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add(name.casefold())
        return name


def _umask() -> int:
    """The process's mask for new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
