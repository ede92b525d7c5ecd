"""Where the photographs of a run are, and how they are found again."""

import os
from collections.abc import Sequence
from typing import Any

from xattr.data import Problem, display_name

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


def _absolute(place: str) -> str:
    """A place as it is called from any folder; text that JSON can hold."""
    return place if place.startswith("tfds:") else display_name(os.path.abspath(place))
