"""A group of tiles, one for each place of the mesh: begun, then collected.

What fails is tried again tile by tile, then in halves, so that one record, or too large
a program, costs as little as can be.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from xattr.data import Tile
from xattr.run import _rows as rows
from xattr.run._computation import Computation, Results
from xattr.run._layout import Layout
from xattr.run._store import Row, Staged

_log = logging.getLogger("xattr")
_warned: set[tuple[str, str]] = set()

# A method's results, and the tiles of the group that they are of.
_Started = list[tuple[Results, tuple[int, ...]]]


class Group(NamedTuple):
    """Tiles whose computation has begun.

    Attributes:
      tiles: fewer than the mesh holds where tiles run out.
      reasons: why records give nothing, by place in the group and in the tile.
      targets: the classes that labels name, for every place of the mesh.
      predicted: what the model says, on the devices; None if no record gave an image,
        why not if it failed.
      maps: by method, what was begun, or why it could not be.
    """

    tiles: Sequence[Tile]
    reasons: Mapping[tuple[int, int], str]
    targets: np.ndarray
    predicted: Results | Exception | None = None
    maps: Mapping[str, _Started | Exception] = MappingProxyType({})

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
    targets, reasons = _targets(computation, tiles, class_of)
    if len(reasons) == sum(len(tile.records) for tile in tiles):
        return Group(tiles, reasons, targets)
    padded = _padded(computation, tiles)
    pixels, index = _pixels(computation, padded), _numbers(computation, padded)
    names = computation.plan.methods
    all_tiles = tuple(range(len(padded)))
    maps: dict[str, _Started | Exception]
    try:
        predicted, found = computation.compute(pixels, index, computation.put(targets))
        maps = {name: [(results, all_tiles)] for name, results in found.items()}
    except Exception as error:  # tried again in parts when collected
        return Group(tiles, reasons, targets, error, dict.fromkeys(names, error))
    for name in names:
        if name not in maps:
            try:
                shared = pixels, index, predicted["target"]
                maps[name] = _start(computation, name, padded, shared)
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
    fetched = {name: _fetch(name, group.maps[name]) for name in names}
    collected = []
    for place, tile in enumerate(group.tiles):
        part = slice(place * size, place * size + size)
        of_tile = {name: values[part] for name, values in predicted.items()}
        found = {
            name: _maps(computation, name, begun, tile, place, of_tile["target"])
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
        pixels = _pixels(computation, _padded(computation, group.tiles))
        again = computation.predict(pixels, computation.put(group.targets))
        return jax.device_get(again)


class _Maps(NamedTuple):
    """A method's results for one tile, and why some of its records have none."""

    values: Results
    failures: Mapping[int, str]


def _row(
    group: Group,
    place: int,
    slot: int,
    classes: Sequence[str],
    predicted: Results,
    found: Mapping[str, _Maps],
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


def _targets(
    computation: Computation, tiles: Sequence[Tile], class_of: Callable[[str], Any]
) -> tuple[np.ndarray, dict[tuple[int, int], str]]:
    """Classes that labels name, record by record, and why records give nothing."""
    targets = np.zeros((computation.num_tiles, computation.plan.tile_size), np.int32)
    reasons = {}
    by_label = computation.plan.target == "label"
    for place, tile in enumerate(tiles):
        for slot, record in enumerate(tile.records):
            index = class_of(record.label) if by_label else 0
            if record.reason:
                reasons[place, slot] = record.reason
            elif index is None:
                reasons[place, slot] = f"its label {record.label!r} names no class"
            else:
                targets[place, slot] = index
    return targets.reshape(-1), reasons


def _start(
    computation: Computation,
    name: str,
    tiles: Sequence[Tile],
    shared: tuple[Array, Array, Array],
) -> _Started:
    """Begin a method on every tile, once for each shape of what is prepared."""
    prepared = [_prepared(computation, name, tile.images) for tile in tiles]
    begun = []
    for shape in dict.fromkeys(map(_shapes, prepared)):
        fitting = tuple(k for k, p in enumerate(prepared) if _shapes(p) == shape)
        # Tiles of another shape are computed with what is not theirs, and left out.
        used = [prepared[k if k in fitting else fitting[0]] for k in range(len(tiles))]
        joined = {
            key: computation.put(np.concatenate([p[key] for p in used]))
            for key in used[0]
        }
        begun.append((computation.explain(name, *shared, joined), fitting))
    return begun


def _fetch(name: str, begun: _Started | Exception) -> _Started | None:
    """A method's results, in this process's memory; None if they failed."""
    try:
        if isinstance(begun, Exception):
            raise begun
        return [(jax.device_get(results), tiles) for results, tiles in begun]
    except Exception as error:
        _warn(name, error)
        return None


def _warn(name: str, error: Exception) -> None:
    """Say it once of each method and error: there may be thousands of batches."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    if (name, text) not in _warned:
        _warned.add((name, text))
        _log.warning("%s failed on a batch, and is tried in parts: %s", name, text)


def _maps(
    computation: Computation,
    name: str,
    begun: _Started | None,
    tile: Tile,
    place: int,
    targets: np.ndarray,
) -> _Maps:
    """A method's results for one tile; computed again, in parts, if they failed."""
    size = computation.plan.tile_size
    if begun is None:
        return _alone(computation, name, tile.images, _index(tile, size), targets)
    results = next(results for results, tiles in begun if place in tiles)
    part = slice(place * size, place * size + size)
    return _Maps({key: value[part] for key, value in results.items()}, {})


def _alone(
    computation: Computation,
    name: str,
    pixels: np.ndarray,
    index: np.ndarray,
    targets: np.ndarray,
) -> _Maps:
    """A method's results for a few records, halved until they are computed."""
    try:
        prepared = _prepared(computation, name, pixels)
        results = computation.explain_alone(name, pixels, index, targets, prepared)
        return _Maps(jax.device_get(results), {})
    except Exception as error:
        if len(pixels) == 1:
            text = " ".join(str(error).split())
            return _Maps(
                computation.blank(name), {0: f"{type(error).__name__}: {text[:200]}"}
            )
    half = len(pixels) // 2
    low, high = (
        _alone(computation, name, pixels[part], index[part], targets[part])
        for part in (slice(half), slice(half, None))
    )
    values = {k: np.concatenate([low.values[k], high.values[k]]) for k in low.values}
    failures = {half + slot: why for slot, why in high.failures.items()}
    return _Maps(values, {**low.failures, **failures})


def _padded(computation: Computation, tiles: Sequence[Tile]) -> list[Tile]:
    """As many tiles as the mesh holds."""
    return [*tiles, *[tiles[0]] * (computation.num_tiles - len(tiles))]


def _pixels(computation: Computation, tiles: Sequence[Tile]) -> Array:
    return computation.put(np.concatenate([tile.images for tile in tiles]))


def _numbers(computation: Computation, tiles: Sequence[Tile]) -> Array:
    size = computation.plan.tile_size
    return computation.put(np.concatenate([_index(tile, size) for tile in tiles]))


def _prepared(computation: Computation, name: str, pixels: np.ndarray) -> Results:
    """What a method needs that is computed from images outside of a program."""
    prepare = computation.plan.methods[name].prepare
    if prepare is None:
        return {}
    images = pixels.astype(np.float32) / np.float32(255)
    return {key: np.asarray(value) for key, value in prepare(images).items()}


def _shapes(prepared: Results) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((key, value.shape) for key, value in prepared.items())


def _index(tile: Tile, size: int) -> np.ndarray:
    """The records' numbers, counted on where they run out."""
    return np.arange(tile.number * size, tile.number * size + size, dtype=np.int32)
