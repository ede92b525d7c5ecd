"""A run's records, a few at a time, with all that there is of each."""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xattr.cli._photographs import preprocess_of
from xattr.data import Slot, Source, load_tiles

if TYPE_CHECKING:
    from xattr.run import Run

STEP = 16
GRAY = 128


class Part(NamedTuple):
    """A few records in a row.

    Attributes:
      rows: their rows.
      photos: as the network received them; gray where they cannot be read again.
      notes: why not; "" where they can.
      maps: each method's maps.
    """

    rows: Sequence[dict[str, Any]]
    photos: np.ndarray
    notes: Sequence[str]
    maps: dict[str, np.ndarray]


def parts(
    run: "Run", source: Source, shards: Sequence[int]
) -> Generator[Part, None, None]:
    """The records of some shards; one shard's rows and a few maps are in memory."""
    preprocess, size = preprocess_of(run), run.settings["shard_size"]
    tiles = [
        tile
        for shard in shards
        for tile in range(shard * size // STEP, (shard + 1) * size // STEP)
        if tile * STEP < len(run)
    ]
    loading = load_tiles(
        source,
        tiles,
        tile_size=STEP,
        transform=preprocess.pixels,
        size=preprocess.size,
    )
    held, rows = -1, []
    with closing(loading):
        for tile in loading:
            first = tile.number * STEP
            if first // size != held:
                held = first // size
                rows = run.rows(shards=[held]).to_pylist()
            own = rows[first % size :][:STEP]
            notes = [
                _note(row, slot) for row, slot in zip(own, tile.records, strict=True)
            ]
            photos = tile.images[: len(own)].copy()
            photos[[bool(note) for note in notes]] = GRAY
            span = slice(first, first + len(own))
            yield Part(own, photos, notes, _maps(run, span))


def _maps(run: "Run", span: slice) -> dict[str, np.ndarray]:
    """Each method's maps of a few records."""
    try:
        return {name: run.maps[name][span] for name in run.methods}
    except ValueError as error:  # TensorStore has no kind of its own
        raise OSError(f"the maps cannot be read: {error}") from error


def _note(row: dict[str, Any], slot: Slot) -> str:
    """Why a photograph is not the one that was explained."""
    if slot.reason:
        return slot.reason
    return "" if slot.name == row["file"] else f"{slot.name} is in its place"
