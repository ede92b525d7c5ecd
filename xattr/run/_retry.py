"""What a method gave for a tile; computed again, in parts, if it failed."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from xattr.data import Tile
from xattr.run._computation import Computation
from xattr.run._feed import record_numbers
from xattr.run._tile import Results

_log = logging.getLogger("xattr")
_warned: set[tuple[str, str]] = set()

# A method's results, and the tiles of the group that they are of.
Started = list[tuple[Results, tuple[int, ...]]]


class Maps(NamedTuple):
    """A method's results for one tile, and why some of its records have none."""

    values: Results
    failures: Mapping[int, str]


def fetch(name: str, begun: Started | Exception) -> Started | None:
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


def maps_of_tile(
    computation: Computation,
    name: str,
    begun: Started | None,
    tile: Tile,
    place: int,
    targets: np.ndarray,
) -> Maps:
    """A method's results for one tile; computed again, in parts, if they failed."""
    size = computation.plan.tile_size
    if begun is None:
        numbers = record_numbers(tile, size)
        return _alone(computation, name, tile.images, numbers, targets)
    results = next(results for results, tiles in begun if place in tiles)
    part = slice(place * size, place * size + size)
    return Maps({key: value[part] for key, value in results.items()}, {})


def _alone(
    computation: Computation,
    name: str,
    pixels: np.ndarray,
    index: np.ndarray,
    targets: np.ndarray,
) -> Maps:
    """A method's results for a few records, halved until they are computed."""
    try:
        prepared = computation.prepare(name, pixels)
        results = computation.explain_alone(name, pixels, index, targets, prepared)
        return Maps(jax.device_get(results), {})
    except Exception as error:
        if len(pixels) == 1:
            text = " ".join(str(error).split())
            return Maps(
                computation.blank(name), {0: f"{type(error).__name__}: {text[:200]}"}
            )
    half = len(pixels) // 2
    low, high = (
        _alone(computation, name, pixels[part], index[part], targets[part])
        for part in (slice(half), slice(half, None))
    )
    values = {k: np.concatenate([low.values[k], high.values[k]]) for k in low.values}
    failures = {half + slot: why for slot, why in high.failures.items()}
    return Maps(values, {**low.failures, **failures})
