"""From what a user names to the source that reads it."""

import glob
import os
from collections.abc import Sequence

from xattr.data._archive_source import ArchiveSource
from xattr.data._file_source import FileSource
from xattr.data._record import Source
from xattr.data._tfds_source import TFDSSource

_TFDS = "tfds:"
# Compressed ones are taken for archives too, so that the error says what to do.
_ARCHIVES = ".tar .zip .tgz .tbz2 .txz .tar.gz .tar.bz2 .tar.xz .tar.zst".split()


def open_source(
    places: Sequence[str],
    *,
    labels: str | None = None,
    leave_out: str | os.PathLike[str] | None = None,
) -> Source:
    """The data set that places stand for.

    Args:
      places: files, folders and globs of images; or tar and zip archives, and globs
        of them; or one `tfds:NAME/SPLIT`.
      labels: None, "folders", or a CSV file with the columns `file` and `label`; a
        data set of TFDS has its own.
      leave_out: a folder of which nothing is listed, such as the results.

    Returns:
      A source of one kind.

    Raises:
      ImportError: if TFDS is named and not installed.
      ValueError: if the kinds are mixed, or the source cannot be opened.

    Example:
      >>> open_source(["tfds:mnist"])
      Traceback (most recent call last):
      ValueError: `places`='tfds:mnist' names no split: 'tfds:mnist/train'.
    """
    if isinstance(places, str):
        raise TypeError(f"`places` is one text; pass a list: `[{places!r}]`.")
    kinds = {_kind(place) for place in places}
    if len(kinds) > 1:
        raise ValueError(
            f"`places` mixes {' and '.join(sorted(kinds))}; a run reads one kind."
        )
    if kinds == {"TFDS"}:
        return _open_tfds(places, labels)
    if kinds == {"archives"}:
        return ArchiveSource(_expand(places), labels=labels)
    return FileSource(places, labels=labels, leave_out=leave_out)


def _kind(place: str) -> str:
    """What sort of thing a place names."""
    if place.startswith(_TFDS):
        return "TFDS"
    is_archive = place.lower().endswith(tuple(_ARCHIVES)) and not os.path.isdir(place)
    return "archives" if is_archive else "files"


def _open_tfds(places: Sequence[str], labels: str | None) -> TFDSSource:
    """The one data set of TFDS that is named."""
    if len(places) > 1:
        raise ValueError(f"`places` names {len(places)} data sets of TFDS; name one.")
    if labels is not None:
        raise ValueError(
            f"`labels`={labels!r} is for files and archives; TFDS has its own labels."
        )
    name, _, split = places[0].removeprefix(_TFDS).rpartition("/")
    if not name or not split:
        example = f"{_TFDS}{name or split or 'mnist'}/train"
        raise ValueError(f"`places`={places[0]!r} names no split: {example!r}.")
    return TFDSSource(name, split)


def _expand(places: Sequence[str]) -> list[str]:
    """Each archive once, the matches of a pattern sorted."""
    archives: dict[str, str] = {}
    for place in places:
        is_pattern = glob.has_magic(place) and not os.path.lexists(place)
        matches = sorted(glob.glob(place, recursive=True)) if is_pattern else [place]
        if not matches:
            raise ValueError(f"`places`: the pattern {place!r} matches nothing.")
        for match in matches:
            archives.setdefault(os.path.realpath(match), match)
    return list(archives.values())
