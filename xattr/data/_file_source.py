"""A data set of files."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xattr.data._fingerprint import checksum, digest, spread
from xattr.data._labels import assign_labels
from xattr.data._record import Record, Refused
from xattr.data._sources import display_name, find_images


class FileSource:
    """Every image file in files, folders and globs, each once, sorted by name.

    A file's name is its path from the folder that all `places` lie in, so that a
    data set keeps its names when it is moved. A link that leads nowhere is a record
    that gives a reason; a file that goes away later has the reading of tiles end.

    Args:
      places: what `find_images` takes.
      labels: None, "folders" for the name of a file's own folder, or a CSV file
        with the columns `file` and `label`, whose files are names as above or
        paths as given.
      leave_out: a folder of which nothing is listed, such as the results.

    Attributes:
      problems: places that hold no image, and photographs of unread formats; these
        are no records.

    Raises:
      ValueError: if there are no places, or `labels` do not fit.

    Example:
      >>> len(FileSource(["no/such/folder"]))
      0
    """

    def __init__(
        self,
        places: Sequence[str | os.PathLike[str]],
        *,
        labels: str | None = None,
        leave_out: str | os.PathLike[str] | None = None,
    ) -> None:
        if not places:
            raise ValueError("`places` is empty; at least one file or folder is needed")
        paths, self.problems = find_images(places, leave_out=leave_out)
        self._root = common_folder(places)
        found = sorted(
            (Path(os.path.relpath(os.path.abspath(path), self._root)), path)
            for path in paths
        )
        self._files = tuple(str(file) for file, _ in found)
        self._missing = frozenset(
            str(file) for file, path in found if _leads_nowhere(path)
        )
        self._labels = assign_labels(
            labels,
            [_name(file) for file in self._files],
            other_names=[display_name(path) for _, path in found],
            folders=(
                display_name(Path(os.path.abspath(path)).parent.name)
                for _, path in found
            ),
        )
        self._made_from = {
            "kind": "files",
            "places": [display_name(place) for place in places],
            "labels": labels and display_name(labels),
            "count": len(found),
        }

    def __len__(self) -> int:
        """How many files there are."""
        return len(self._files)

    def __getitem__(self, index: int) -> Record:
        """The file at `index`, unread."""
        file = self._files[index]
        content: Path | Refused = Path(self._root, file)
        if file in self._missing:
            content = Refused("there is no such file")
        return Record(_name(file), self._labels[index], content)

    def describe(self) -> dict[str, Any]:
        """The places, the labels' origin and the number of files."""
        return dict(self._made_from)

    def fingerprint(self) -> str:
        """SHA-256 over names, labels, sizes, and what some files hold.

        A missing file has size -1. Up to 64 files, evenly spread, are read; one of
        these that cannot be read adds nothing.
        """
        entries = (
            (_name(file), label, _size(Path(self._root, file)))
            for file, label in zip(self._files, self._labels, strict=True)
        )
        sampled = (Path(self._root, self._files[k]) for k in spread(len(self)))
        return digest(entries, map(checksum, sampled))


def common_folder(places: Sequence[str | os.PathLike[str]]) -> str:
    """The deepest folder that all places lie in, absolute.

    Example:
      >>> common_folder(["/a/b/*.png", "/a/c/x.png"])
      '/a'
    """
    return os.path.commonpath([_folder(Path(os.path.abspath(p))) for p in places])


def _folder(place: Path) -> Path:
    """The place if it is a folder, else the first that holds it and is no pattern."""
    if place.is_dir():
        return place
    folder = place.parent
    while glob.has_magic(str(folder)) and not folder.exists():
        folder = folder.parent
    return folder


def _name(file: str) -> str:
    """A relative path for display, with slashes on every system."""
    return display_name(Path(file).as_posix())


def _leads_nowhere(path: Path) -> bool:
    """Whether what was listed is a link to what is not there."""
    try:
        return path.is_symlink() and not path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _size(path: Path) -> int:
    """Bytes of a file, or -1."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
