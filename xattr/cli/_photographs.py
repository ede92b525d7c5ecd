"""Where the photographs of a run are, and how they are found again."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xattr.data import (
    FileSource,
    GrainSource,
    Problem,
    Record,
    Refused,
    Source,
    display_name,
    open_source,
)

if TYPE_CHECKING:
    from xattr.images import Preprocess
    from xattr.run import Run

_MOST = 1000


def describe_source(
    places: Sequence[str], labels: str | None, problems: Sequence[Problem] = ()
) -> dict[str, Any]:
    """What `run.json` tells of the source under `about`, for a report to find it.

    Args:
      places: as `open_source` takes them.
      labels: likewise.
      problems: places that are no records, and why.
    """
    named = [[display_name(path), reason] for path, reason in problems]
    more = [[f"{len(named) - _MOST:,} more", "left out here"]]
    return {
        "source": {
            "places": [_absolute(place) for place in places],
            "labels": labels,
            "problems": named[:_MOST] + (more if len(named) > _MOST else []),
        }
    }


def find_photographs(
    run: "Run", places: Sequence[str] = (), leave_out: Path | None = None
) -> Source:
    """The records of a run, to be read again; those that are gone say so.

    Args:
      run: the run.
      places: where they are now; by default, where they were.
      leave_out: a folder of which nothing is listed.

    Raises:
      ImportError: if `places` need a package that is not installed.
      ValueError: if `places` cannot be opened.
    """
    known = run.about.get("source", {}).get("places", ())
    if not places and not known:
        return _nowhere(run, "the run does not tell where it was; see `--images`")
    try:
        source = open_source(list(places or known), leave_out=leave_out)
    except (ImportError, OSError, ValueError) as error:
        if places:
            raise
        return _nowhere(run, str(error))
    if len(source) == len(run):
        return source
    return GrainSource(_Matched(source, _matching(run, source)))


def preprocess_of(run: "Run") -> "Preprocess":
    """What made the network's images of the photographs."""
    from xattr.images import Preprocess

    return Preprocess(**run.settings["model"]["preprocess"])


class _Matched:
    """A run's records by their places in a source, -1 for those that are gone."""

    def __init__(
        self, source: Source | None, places: np.ndarray, why: str = "it is gone"
    ) -> None:
        self._source, self._places, self._why = source, places, why

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Record:
        if self._source is None or self._places[index] < 0:
            return Record(f"#{index}", "", Refused(self._why))
        return self._source[int(self._places[index])]


def _nowhere(run: "Run", why: str) -> Source:
    """As many records as the run has, none of them there."""
    return GrainSource(_Matched(None, np.full(len(run), -1), why))


def _matching(run: "Run", source: Source) -> np.ndarray:
    """Where a source of another length has each record, by the names of files."""
    places = np.full(len(run), -1)
    if not isinstance(source, FileSource):
        places[: len(source)] = np.arange(len(run))[: len(source)]
        return places
    found = {source[place].name: place for place in range(len(source))}
    rows = run.rows(columns=["index", "file"])
    indices, files = rows["index"].to_numpy(), rows["file"].to_pylist()
    places[indices] = [found.get(file, -1) for file in files]
    return places


def _absolute(place: str) -> str:
    """A place as it is called from any folder; text that JSON can hold."""
    return place if place.startswith("tfds:") else display_name(os.path.abspath(place))
