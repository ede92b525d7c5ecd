"""A group of tiles, one for each place of the mesh: begun, then collected.

What fails is tried again tile by tile, then in halves, so that one record, or too large
a program, costs as little as can be.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from xattr.data import Tile
from xattr.run import _rows as rows
from xattr.run._computation import Computation
from xattr.run._feed import padded, put_records, targets_of
from xattr.run._layout import Layout
from xattr.run._retry import Maps, Started, fetch, maps_of_tile
from xattr.run._store import Row, Staged
from xattr.run._tile import Results


class Group(NamedTuple):
    """Tiles whose computation has begun.

    Attributes:
      tiles: fewer than the mesh holds where tiles run out.
      reasons: why records give nothing, by place in the group and in the tile.
      targets: the classes that labels name, a row for every place of the mesh.
      predicted: what the model says, on the devices; None if no record gave an image,
        why not if it failed.
      maps: by method, what was begun, or why it could not be.
    """

    tiles: Sequence[Tile]
    reasons: Mapping[tuple[int, int], str]
    targets: np.ndarray
    predicted: Results | Exception | None = None
    maps: Mapping[str, Started | Exception] = MappingProxyType({})

    def wait(self) -> None:
        """Wait until the devices are done; what failed there is seen when collected."""
        try:
            jax.block_until_ready((self.predicted, self.maps))
        except Exception:
            return


def begin(
    computation: Computation, tiles: Sequence[Tile], class_of: Callable[[str], Any]
) -> Group:
    """Begin to compute tiles, at most as many as the mesh holds; does not wait.

    Args:
      computation: the programs.
      tiles: the tiles.
      class_of: from a label to its class, or None if it names none.
    """
    targets, reasons = targets_of(computation, tiles, class_of)
    if len(reasons) == sum(len(tile.records) for tile in tiles):
        return Group(tiles, reasons, targets)
    full = padded(computation, tiles)
    pixels, index = put_records(computation, full)
    names = computation.plan.methods
    all_tiles = tuple(range(len(full)))
    maps: dict[str, Started | Exception]
    try:
        predicted, found = computation.compute(
            pixels, index, computation.put([*targets])
        )
        maps = {name: [(results, all_tiles)] for name, results in found.items()}
    except Exception as error:  # tried again in parts when collected
        return Group(tiles, reasons, targets, error, dict.fromkeys(names, error))
    for name in names:
        if name not in maps:
            try:
                shared = pixels, index, predicted["target"]
                maps[name] = _start(computation, name, full, shared)
            except Exception as error:
                maps[name] = error
    return Group(tiles, reasons, targets, predicted, maps)


def collect(
    computation: Computation,
    group: Group,
    layouts: Sequence[Layout],
    classes: Sequence[str],
) -> list[tuple[int, Staged]]:
    """Wait for a group's results: the number of each tile, and what to keep of it."""
    if group.predicted is None:
        return [
            (t.number, _nothing(group, k, layouts)) for k, t in enumerate(group.tiles)
        ]
    predicted = _predictions(computation, group)
    names, size = computation.plan.methods, computation.plan.tile_size
    fetched = {name: fetch(name, group.maps[name]) for name in names}
    collected = []
    for place, tile in enumerate(group.tiles):
        part = slice(place * size, place * size + size)
        of_tile = {name: values[part] for name, values in predicted.items()}
        found = {
            name: maps_of_tile(computation, name, begun, tile, place, of_tile["target"])
            for name, begun in fetched.items()
        }
        known = [
            _row(group, place, slot, classes, of_tile, found)
            for slot in range(len(tile.records))
        ]
        bare = [slot for slot, row in enumerate(known) if row["status"] == rows.SKIPPED]
        arrays = {}
        for layout in layouts:
            array = np.array(found[layout.method].values[layout.part])
            array[[*bare, *found[layout.method].failures]] = layout.fill
            arrays[layout.name] = array[: len(known)]
        collected.append((tile.number, Staged(arrays, known)))
    return collected


def _predictions(computation: Computation, group: Group) -> Results:
    """What the model says; asked again, alone, if it failed together with maps."""
    try:
        if isinstance(group.predicted, Exception):
            raise group.predicted
        return jax.device_get(group.predicted)
    except Exception:
        pixels, _ = put_records(computation, padded(computation, group.tiles))
        again = computation.predict(pixels, computation.put([*group.targets]))
        return jax.device_get(again)


def _row(
    group: Group,
    place: int,
    slot: int,
    classes: Sequence[str],
    predicted: Results,
    found: Mapping[str, Maps],
) -> Row:
    """What is known of one record."""
    record = group.tiles[place].records[slot]
    facts = record.index, record.name, record.label
    if (reason := group.reasons.get((place, slot))) is not None:
        return rows.skipped(*facts, reason)
    failures = {n: f.failures[slot] for n, f in found.items() if slot in f.failures}
    return rows.explained(
        *facts,
        classes=classes,
        predicted={name: values[slot] for name, values in predicted.items()},
        maps={
            name: {key: values[slot] for key, values in maps.values.items()}
            for name, maps in found.items()
            if name not in failures
        },
        failures=failures,
    )


def _nothing(group: Group, place: int, layouts: Sequence[Layout]) -> Staged:
    """A tile of which no record gave an image."""
    records = group.tiles[place].records
    arrays = {
        a.name: np.full((len(records), *a.shape), a.fill, a.dtype) for a in layouts
    }
    known = [
        rows.skipped(r.index, r.name, r.label, group.reasons[place, slot])
        for slot, r in enumerate(records)
    ]
    return Staged(arrays, known)


def _start(
    computation: Computation,
    name: str,
    tiles: Sequence[Tile],
    shared: tuple[Array, Array, Array],
) -> Started:
    """Begin a method on every tile, once for each shape of what is prepared."""
    prepared = [computation.prepare(name, tile.images) for tile in tiles]
    begun = []
    for shape in dict.fromkeys(map(_shapes, prepared)):
        fitting = tuple(k for k, p in enumerate(prepared) if _shapes(p) == shape)
        # Tiles of another shape are computed with what is not theirs, and left out.
        used = [prepared[k if k in fitting else fitting[0]] for k in range(len(tiles))]
        joined = {key: computation.put([p[key] for p in used]) for key in used[0]}
        begun.append((computation.explain(name, *shared, joined), fitting))
    return begun


def _shapes(prepared: Results) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((key, value.shape) for key, value in prepared.items())
