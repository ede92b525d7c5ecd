"""The folder of a run and its report, and names in it."""

import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

MARK, REPORT_MARK, SCORES = "run.json", "report.json", "scores"
OVERLAYS, ARRAYS, TABLE = "overlays", "arrays", "predictions"
PAGES = "index-{}.html"

_REPORTED = re.compile(rf"index(-\d+)?\.html|{TABLE}\.(csv|parquet)|report\.json")
_PICTURED = (f"{OVERLAYS}/*/*.png", f"{ARRAYS}/*/*.npy")
_STORED = ("rows/part-*.parquet", "staged/*/*.safetensors")
_MAPS = "maps.zarr"
_UNFINISHED = "*.__lock"  # what TensorStore leaves if it is killed

MAX_BYTES = 120


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise unless results can be written to `folder`; leaves nothing behind.

    Raises:
      ValueError: if it is a file, holds something and `overwrite` is off, or holds
        something that no run has written.
      OSError: if it cannot be written to.
    """
    if _holds_something(folder):
        if not overwrite:
            raise ValueError(
                f"`--out` {folder} is not empty. Give another folder, or `--overwrite` "
                "to replace the results in it."
            )
        if not _is_marked(folder):
            raise ValueError(
                f"`--out` {folder} holds files that no run has written (there is no "
                f"{MARK}); `--overwrite` leaves them alone. Give another folder."
            )
    _check_writable(folder)


def check_comparison_folder(folder: Path) -> None:
    """Raise unless a comparison can be begun or gone on with in `folder`.

    Raises:
      ValueError: if it is a file, holds what no comparison has written, or cannot be
        written to.
    """
    if _holds_something(folder) and not (folder / SCORES).is_dir():
        raise ValueError(
            f"`--out` {folder} holds files that no comparison has written (there is no "
            f"folder {SCORES}). Give another folder."
        )
    _check_writable(folder)


def _holds_something(folder: Path) -> bool:
    """Whether there is anything in the folder; raises if it is a file."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`--out` {folder} is a file; give a folder.")
    return folder.is_dir() and any(folder.iterdir())


def _check_writable(folder: Path) -> None:
    """Raise unless something can be written to the folder; leaves nothing behind."""
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(
            f"`--out` {folder} cannot be written to ({error.strerror})."
        ) from error


def check_report_folder(folder: Path) -> None:
    """Raise unless a report can be written to `folder`.

    Raises:
      ValueError: if it holds what neither a run nor a report has written, or cannot be
        written to.
    """
    if folder.is_dir() and any(folder.iterdir()) and not _is_marked(folder):
        raise ValueError(
            f"`--out` {folder} holds files that neither a run nor a report has "
            "written. Give another folder."
        )
    check_folder(folder, overwrite=True)


def is_reported(folder: Path) -> bool:
    """Whether a whole report was written there."""
    return (folder / REPORT_MARK).is_file()


def clear_report(folder: Path) -> None:
    """Make the folder, and remove an earlier report, and only that."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_MARK).unlink(missing_ok=True)
    _remove(folder, _PICTURED)
    for file in folder.iterdir():
        if _REPORTED.fullmatch(file.name):
            file.unlink()


def clear_run(folder: Path) -> None:
    """Remove a run and its report, and only that; what marks it as a run goes last.

    Raises:
      RunLocked: if another process writes the run.
    """
    from xattr.run import Place
    from xattr.run._lock import Lock

    if not (folder / MARK).is_file():
        return clear_report(folder)
    with Lock(Place(folder)):
        clear_report(folder)
        if (folder / _MAPS).is_dir():
            shutil.rmtree(folder / _MAPS)
        _remove(folder, _STORED)
    _remove(folder, ("locks/*.json",))
    for file in (*folder.glob(_UNFINISHED), folder / MARK):
        file.unlink(missing_ok=True)


def _remove(folder: Path, patterns: Iterable[str]) -> None:
    """Remove files, and the folders that are empty then."""
    for pattern in patterns:
        for file in (*folder.glob(pattern), *folder.glob(f"{pattern}.__lock")):
            file.unlink()
        part = folder / pattern.split("/")[0]
        for inner in (*sorted(part.glob("*")), part):
            with suppress(OSError):  # not empty, or no folder
                inner.rmdir()


def page_name(number: int) -> str:
    """File name of a page.

    Example:
      >>> page_name(1), page_name(2)
      ('index.html', 'index-2.html')
    """
    return "index.html" if number == 1 else PAGES.format(number)


def record_name(index: int, count: int, file: str) -> str:
    """What a record's pictures are called: its number, then its file's name.

    The number makes it the record's own, whatever other files are called, and the same
    in every report of the run.

    Example:
      >>> record_name(7, 1000, "cats/My cat.jpg")
      '007-My_cat'
    """
    return f"{index:0{len(str(count - 1))}d}-{_safe(PurePosixPath(file).stem)}"


def overlay_path(folder: Path, method: str, name: str) -> Path:
    """The picture of a method's map of a record."""
    return folder / OVERLAYS / method / f"{name}.png"


def array_path(folder: Path, method: str, name: str) -> Path:
    """A method's map of a record, as numbers."""
    return folder / ARRAYS / method / f"{name}.npy"


def _is_marked(folder: Path) -> bool:
    """Whether a run or a report has written the folder."""
    return any((folder / mark).is_file() for mark in (MARK, REPORT_MARK))


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


def _safe(stem: str) -> str:
    """Letters and digits of any script, at most 120 bytes of them."""
    letters = unicodedata.normalize("NFC", stem)
    text = "".join(letter if _is_safe(letter) else "_" for letter in letters)
    text = re.sub("_+", "_", text).strip("._-").encode()[:MAX_BYTES]
    return text.decode("utf-8", "ignore").rstrip("._-") or "image"


def _is_safe(letter: str) -> bool:
    """Letters with their marks, digits, and what no system minds."""
    return letter.isalnum() or letter in ".-" or unicodedata.category(letter)[0] == "M"


def _umask() -> int:
    """The process's mask for new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
