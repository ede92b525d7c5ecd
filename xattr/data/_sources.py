"""From files, folders and globs to one sorted list of image files."""

import glob
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .jfif .jpe .jpeg .jpg .mpo .pbm .pgm .png .pnm .ppm"
    " .tif .tiff .webp".split()
)

UNREAD = {
    f".{suffix}": kind
    for kind, suffixes in {
        "HEIC": "heic heif hif",
        "JPEG XL": "jxl",
        "JPEG 2000": "jp2 j2k jpx",
        "SVG": "svg svgz",
        "PSD": "psd psb",
        "RAW": "arw cr2 cr3 crw dng nef nrw orf pef raf raw rw2 srw x3f",
    }.items()
    for suffix in suffixes.split()
}


# Halves of characters, but for those that stand for undecodable bytes.
_NO_BYTE = "[\ud800-\udc7f\udd00-\udfff]"


class Problem(NamedTuple):
    """A file or folder that gives no image, and why."""

    path: Path
    reason: str


class Found(NamedTuple):
    """Files to read, and the places that hold none."""

    paths: tuple[Path, ...]
    problems: tuple[Problem, ...]


def find_images(
    places: Iterable[str | os.PathLike[str]],
    *,
    leave_out: str | os.PathLike[str] | None = None,
) -> Found:
    """Every image file in files, folders (recursively) and globs, each file once.

    A file that is named, or matched by a glob, is always listed, whatever it is
    called: if it is no image, reading it says so. Inside a folder, only files
    with the suffix of an image format are listed, and names that begin with a
    dot are left out, and so are folders that hold the results of a run. Links to
    folders are followed, each folder once, so that a loop of links ends.

    Args:
      places: paths and patterns (`*`, `?`, `[...]`, and `**` for any depth). A
        path that exists is taken as it stands, brackets or not.
      leave_out: a folder of which nothing is listed, such as the one that is about
        to be written.

    Returns:
      Paths, sorted by name, and the problems: missing paths, patterns without a
      match, folders without images, folders that cannot be listed, and in folders
      photographs of formats that are not read, such as HEIC.

    Example:
      >>> find_images(["no/such/folder"]).problems[0].reason
      'there is no such file or folder'
    """
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    closed = None if leave_out is None else os.path.realpath(leave_out)
    for place in places:
        for entry in _expand(Path(place)):
            found = [entry] if isinstance(entry, Problem) else _walk(entry, closed)
            for item in found:
                if isinstance(item, Problem):
                    problems.append(item)
                elif not _is_within(real := os.path.realpath(item), closed):
                    files.setdefault(real, item)
    paths = sorted(files.values(), key=lambda path: path.parts)
    return Found(tuple(paths), tuple(dict.fromkeys(problems)))


def unread_format(path: Path) -> str | None:
    """Say of a file by its suffix that its format is not read, and what to do.

    Example:
      >>> unread_format(Path("a.HEIC"))
      'HEIC is not read; save it as JPEG'
    """
    kind = UNREAD.get(path.suffix.lower())
    return kind and f"{kind} is not read; save it as JPEG"


def display_name(path: str | os.PathLike[str]) -> str:
    r"""A path as text that a terminal, a table or a page can show on one line.

    Undecodable bytes, halves of characters and control characters are written as
    escapes.

    Example:
      >>> print(display_name("a" + chr(10) + "b.png"))
      a\nb.png
    """
    return "".join(
        letter if letter.isprintable() else _escaped(letter)
        for letter in encodable(os.fspath(path))
    )


def encodable(text: str) -> str:
    r"""A text that can be written, with escapes for what is no character.

    Example:
      >>> print(encodable("caf" + chr(0xDCE9) + chr(0xD800)))
      caf\xe9\ud800
    """
    whole = re.sub(_NO_BYTE, lambda found: _escaped(found[0]), text)
    return whole.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _escaped(letter: str) -> str:
    """A letter as Python writes it."""
    return letter.encode("unicode_escape").decode()


def _expand(place: Path) -> Iterator[Path | Problem]:
    """The paths that a place stands for."""
    if os.path.lexists(place):
        yield place
    elif glob.has_magic(str(place)):
        matches = sorted(glob.glob(str(place), recursive=True))
        yield from map(Path, matches)
        if not matches:
            yield Problem(place, "the pattern matches nothing")
    else:
        yield Problem(place, "there is no such file or folder")


def _is_within(path: str, folder: str | None) -> bool:
    """Whether a resolved path is a folder's, or the folder."""
    return folder is not None and (path == folder or Path(folder) in Path(path).parents)


def _is_results(folder: str) -> bool:
    """Whether a run or a report was written there: its JSON file says so."""
    return any(_is_mark(Path(folder, name)) for name in ("run.json", "report.json"))


def _is_mark(file: Path) -> bool:
    try:
        settings = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(settings, dict) and {"format", "run"} <= settings.keys()


def _walk(place: Path, closed: str | None) -> Iterator[Path | Problem]:
    """The image files of a folder, or the file itself."""
    if not place.is_dir():
        yield place
        return
    seen: set[str] = set()
    denied: list[Problem] = []

    def deny(error: OSError) -> None:
        folder = Path(error.filename or place)
        denied.append(
            Problem(folder, f"the folder cannot be listed ({error.strerror})")
        )

    num_files = 0
    for folder, names, files in os.walk(place, followlinks=True, onerror=deny):
        if (real := os.path.realpath(folder)) in seen:
            names.clear()
            continue
        seen.add(real)
        if _is_within(real, closed) or _is_results(folder):
            names.clear()
            continue
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            if name.startswith("."):
                continue
            if path.suffix.lower() in SUFFIXES:
                num_files += 1
                yield path
            elif reason := unread_format(path):
                num_files += 1
                yield Problem(path, reason)
    yield from denied
    if not num_files and not denied:
        yield Problem(place, "the folder holds no image files")
