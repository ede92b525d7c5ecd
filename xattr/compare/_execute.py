"""Compute what is missing of a comparison, and write it as it comes."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xattr.compare._agreement import agreement, disagreement
from xattr.compare._comparison import Comparison, maps_place, scores_place
from xattr.compare._metrics import Scene
from xattr.compare._reduced import stacked
from xattr.compare._scoring import Scoring, Stack
from xattr.data import Source, Tile, load_tiles
from xattr.run import Computation, Place, Progress
from xattr.run import _layout as layout
from xattr.run._execute import missing_tiles
from xattr.run._lock import Lock
from xattr.run._manifest import open_settings
from xattr.run._rows import SKIPPED, schema
from xattr.run._store import Staged, Store

# The scores of no metric; what else a tile takes; what columns of curves end with.
AGREEMENT, READING, CURVE = "agreement", "reading", "_curve"

Report = Callable[[Progress, Mapping[str, Collection[int]]], object]
Timing = Callable[[str], AbstractContextManager[object]]


def _untimed(name: str) -> AbstractContextManager[object]:
    return nullcontext(name)


def score(
    comparison: Comparison,
    computations: Mapping[str, Computation],
    source: Source,
    place: Place,
    *,
    scoring: Scoring | None = None,
    limit: int | None = None,
    num_workers: int = 0,
    report: Report = lambda progress, lacking: None,
    timing: Timing = _untimed,
) -> Progress:
    """Compute and write what a comparison's scores lack; its maps are all there.

    Args:
      comparison: what is compared.
      computations: the runs that made the maps, by method.
      source: the records.
      place: the comparison's folder or bucket.
      scoring: the metrics' programs; made anew by default.
      limit: most tiles that this call computes; all by default.
      num_workers: processes that decode; 0 for threads.
      report: called when a tile is kept, with the tiles that each metric lacks; it may
        raise, which ends the call where it can be gone on with.
      timing: makes a context of a name, in which that metric of a tile is computed, or
        maps are read.

    Returns:
      How it went.

    Raises:
      OSError: if the store cannot be written or read.
      RunLocked: if another process writes the scores.
      RunMismatch: if the store holds other scores.
      ValueError: as the metrics.
    """
    scoring = scoring or Scoring(comparison)
    size = comparison.plan.tile_size
    names = [*comparison.metrics, AGREEMENT]
    open_scores(comparison, source, place, scoring.device)
    with Lock(Place(f"{place.address}/scores")) as lock:
        stores = {name: _store(comparison, name, source, place) for name in names}
        shards = range(layout.num_shards(len(source)))
        missing = {name: missing_tiles(store, shards) for name, store in stores.items()}
        lacking = {
            name: {tile for tiles in by_shard.values() for tile in tiles}
            for name, by_shard in missing.items()
        }
        maps = {
            method: _maps_store(computation, source, maps_place(place, method))
            for method, computation in computations.items()
        }
        tiles = sorted(set().union(*lacking.values()))
        total = len(source)
        progress = Progress(total=total, done=total - _records(tiles, size, total))
        report(progress, lacking)
        loading = load_tiles(
            source,
            tiles[:limit],
            tile_size=size,
            transform=comparison.plan.preprocess.pixels,
            size=comparison.plan.preprocess.size,
            num_workers=num_workers,
        )
        began = time.monotonic()
        with closing(loading):
            while True:
                with timing(READING):
                    tile = next(loading, None)
                    if tile is None:
                        break
                    kept = {name: maps[name].read(tile.number) for name in maps}
                lock.check()
                wanted = [name for name in names if tile.number in lacking[name]]
                for name, rows in _rows(scoring, tile, kept, wanted, timing):
                    with timing(READING):
                        _keep(stores[name], missing[name], tile.number, rows)
                    lacking[name].discard(tile.number)
                progress.done += len(tile.records)
                progress.computed += len(tile.records)
                progress.rate = progress.computed / (time.monotonic() - began)
                report(progress, lacking)
    return progress


def _rows(
    scoring: Scoring,
    tile: Tile,
    kept: Mapping[str, Staged],
    wanted: Sequence[str],
    timing: Timing,
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each wanted metric, and its rows of a tile."""
    comparison = scoring.comparison
    size, side = comparison.plan.tile_size, comparison.plan.preprocess.size
    known = next(iter(kept.values())).rows
    # A staged row lacks what is not known of a skipped record; a shard has nulls.
    targets = [row.get("target") or 0 for row in known]
    targets = _padded(np.array(targets, np.int32), size)
    files = [record.name for record in tile.records]
    annotated = comparison.annotations.of(
        [*files, *[""] * (size - len(files))], comparison.plan.preprocess
    )
    index = np.arange(size) + tile.number * size
    scene = scoring.scene(tile.images, index, targets, annotated.boxes, annotated.masks)
    arrays = {
        name: jnp.asarray(_padded(part.arrays[name], size))
        for name, part in kept.items()
    }
    with timing(READING):
        maps: Stack = jax.block_until_ready(stacked(arrays, (side, side)))
    seen = [row["status"] != SKIPPED for row in known]
    for name in wanted:
        with timing(name):
            if name == AGREEMENT:
                found = agreement(maps)
                columns = _agreement_columns(found, disagreement(found))
            else:
                columns = _columns(scoring, name, scene, maps, tile, annotated.found)
        yield (
            name,
            [
                {"index": record.index, "file": record.name, "label": record.label}
                | {
                    key: column[n] if seen[n] else None
                    for key, column in columns.items()
                }
                for n, record in enumerate(tile.records)
            ],
        )


def _columns(
    scoring: Scoring,
    metric: str,
    scene: Scene,
    maps: Stack,
    tile: Tile,
    found: np.ndarray,
) -> dict[str, list[Any]]:
    """A metric's values and curves by method."""
    comparison, count = scoring.comparison, len(tile.records)
    row = comparison.metrics[metric]
    again = comparison.budget.num_reexplained
    first = tile.number * comparison.plan.tile_size
    valid = np.full(count, comparison.measures(metric, tile.number))
    if row.kind == "method" and again is not None:
        valid &= np.arange(first, first + count) < again
    if row.annotated:
        valid &= found[:count]
    if not valid.any():
        return {}
    scores = scoring.score(metric, scene, maps)
    columns: dict[str, list[Any]] = {}
    for k, method in enumerate(comparison.methods):
        columns[method] = _listed(scores.values[k], valid)
        if scores.curves is not None:
            columns[f"{method}{CURVE}"] = _listed(scores.curves[k], valid)
    return columns


def _listed(values: np.ndarray, valid: np.ndarray) -> list[Any]:
    return [v.tolist() if ok else None for v, ok in zip(values, valid, strict=False)]


def _agreement_columns(found: Any, apart: Any) -> dict[str, list[Any]]:
    found, apart = np.asarray(found), np.asarray(apart)
    flat = found.reshape(len(found), -1)
    return {AGREEMENT: flat.tolist(), "disagreement": apart.tolist()}


def score_schema(methods: Sequence[str], metric: str):
    """Columns of a metric's rows; of the agreement's, its matrix row by row."""
    import pyarrow as pa

    several = pa.list_(pa.float32())
    columns = [("index", pa.int64()), ("file", pa.string()), ("label", pa.string())]
    if metric == AGREEMENT:
        columns += [(AGREEMENT, several), ("disagreement", pa.float32())]
    else:
        columns += [(method, pa.float32()) for method in methods]
        columns += [(f"{method}{CURVE}", several) for method in methods]
    return pa.schema(columns)


def open_scores(
    comparison: Comparison, source: Source, place: Place, device: Any
) -> None:
    """Write the settings of each metric's scores, or compare those that are there.

    Raises:
      RunMismatch: if there are other scores; nothing is written then.
    """
    found = [
        (scores_place(place, name), comparison.identity(name, source, device))
        for name in [*comparison.metrics, AGREEMENT]
    ]
    for own, settings in sorted(
        found, key=lambda pair: pair[0].read(layout.RUN) is None
    ):
        open_settings(own, settings, {})


def _store(comparison: Comparison, metric: str, source: Source, place: Place) -> Store:
    """The rows of a metric."""
    return Store(
        scores_place(place, metric),
        (),
        num_records=len(source),
        tile_size=comparison.plan.tile_size,
        schema=score_schema(comparison.methods, metric),
    )


def _maps_store(computation: Computation, source: Source, place: Place) -> Store:
    plan = computation.plan
    return Store(
        place,
        computation.layouts(),
        num_records=len(source),
        tile_size=plan.tile_size,
        schema=schema(list(plan.methods)),
    )


def _keep(
    store: Store,
    missing: dict[int, set[int]],
    tile: int,
    rows: Sequence[dict[str, Any]],
) -> None:
    """Stage a tile's rows; commit the shard that they make whole."""
    store.stage(tile, Staged({}, rows))
    shard = tile * store.tile_size // layout.SHARD
    missing[shard].discard(tile)
    if not missing[shard]:
        store.commit(shard)


def _records(tiles: Sequence[int], size: int, total: int) -> int:
    return sum(min(size, total - tile * size) for tile in tiles)


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """Rows of zeros up to a tile's size."""
    return np.pad(array, [(0, size - len(array)), *[(0, 0)] * (array.ndim - 1)])
