"""What goes into the programs: pixels, numbers and targets of some tiles."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array

from xattr.data import Tile
from xattr.run._computation import Computation


def padded(computation: Computation, tiles: Sequence[Tile]) -> list[Tile]:
    """As many tiles as the mesh holds."""
    return [*tiles, *[tiles[0]] * (computation.num_tiles - len(tiles))]


def put_records(computation: Computation, tiles: Sequence[Tile]) -> tuple[Array, Array]:
    """Pixels and numbers of all records, on the devices."""
    size = computation.plan.tile_size
    return (
        computation.put([tile.images for tile in tiles]),
        computation.put([record_numbers(tile, size) for tile in tiles]),
    )


def record_numbers(tile: Tile, size: int) -> np.ndarray:
    """The records' numbers, counted on where they run out."""
    return np.arange(tile.number * size, tile.number * size + size, dtype=np.int32)


def targets_of(
    computation: Computation, tiles: Sequence[Tile], class_of: Callable[[str], Any]
) -> tuple[np.ndarray, dict[tuple[int, int], str]]:
    """Classes that labels name, tile by tile, and why records give nothing."""
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
    return targets, reasons
