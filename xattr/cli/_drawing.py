"""What is shown of each record."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xattr.cli._folder import array_path, overlay_path, write_whole
from xattr.cli._parts import STEP, Part
from xattr.cli._survey import faults_of
from xattr.images import STATUSES
from xattr.render import Explanation, Layer, Skipped, blend, drawable, embed
from xattr.run._rows import prediction_columns


class Drawn(NamedTuple):
    """One record, drawn.

    Attributes:
      row: its row.
      entry: its place on the page.
      photo: the photograph.
      values: maps that can be drawn, from -1 to 1.
      maps: maps as the methods returned them.
    """

    row: Mapping[str, Any]
    entry: Explanation | Skipped
    photo: np.ndarray
    values: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray]


def draw(part: Part, methods: Sequence[str]) -> Iterator[Drawn]:
    """Draw a few records, one after another."""
    size = part.photos.shape[1:3]
    scaled = {name: drawable(_padded(part.maps[name]), size) for name in methods}
    values = {name: np.asarray(pair[0]) for name, pair in scaled.items()}
    states = {name: np.asarray(pair[1]) for name, pair in scaled.items()}
    for place, row in enumerate(part.rows):
        if row["status"] == "skipped":
            entry = Skipped(row["file"], row["reason"])
            yield Drawn(row, entry, part.photos[place], {}, {})
            continue
        notes = {name: STATUSES[state[place]] for name, state in states.items()}
        notes |= faults_of(row["status"])
        good = {n: stack[place] for n, stack in values.items() if notes[n] == "ok"}
        maps = {name: stack[place] for name, stack in part.maps.items()}
        entry = _entry(row, part.photos[place], part.notes[place], good, notes)
        yield Drawn(row, entry, part.photos[place], good, maps)


def write_overlays(folder: Path, name: str, drawn: Drawn, *, signed: bool) -> None:
    """A picture of each map that can be drawn."""
    from PIL import Image

    for method, values in drawn.values.items():
        picture = blend(drawn.photo, values, alpha=0.85, signed=signed, gray=True)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        content = buffer.getvalue()
        write_whole(
            overlay_path(folder, method, name),
            lambda file, content=content: file.write(content),
        )


def write_arrays(folder: Path, name: str, drawn: Drawn) -> None:
    """Each map as numbers."""
    for method, values in drawn.maps.items():
        write_whole(
            array_path(folder, method, name),
            lambda file, values=values: np.save(file, values),
        )


def _padded(maps: np.ndarray) -> np.ndarray:
    """As many maps as ever, the last one repeated, so that one program serves all."""
    return maps[np.arange(STEP).clip(max=len(maps) - 1)]


def _entry(
    row: Mapping[str, Any],
    photo: np.ndarray,
    note: str,
    values: Mapping[str, np.ndarray],
    notes: Mapping[str, str],
) -> Explanation:
    """A record's place on the page."""
    guesses = _predictions(row)
    indices = [index for index, _, _ in guesses]
    target = row["target"]
    return Explanation(
        name=row["file"],
        photo=embed(photo),
        predictions=[(label, probability) for _, label, probability in guesses],
        target=row["target_label"],
        probability=row["target_probability"],
        layers=[
            Layer(method, embed(values[method]))
            if method in values
            else Layer(method, None, _told(state, row["reason"]))
            for method, state in notes.items()
        ],
        rank=indices.index(target) if target in indices else None,
        note=note,
    )


def _predictions(row: Mapping[str, Any]) -> list[tuple[int, str, float]]:
    """The most probable classes that a row has: index, name, probability."""
    found, rank = [], 1
    while (names := prediction_columns(rank))[0] in row:
        found.append(tuple(row[name] for name in names))
        rank += 1
    return [guess for guess in found if guess[0] is not None]


def _told(state: str, reason: str) -> str:
    """Why a map is not drawn."""
    if state == "failed":
        return f"The method failed: {reason}"
    return f"Nothing to draw: the map is {state}"
