"""Compute what is missing of a run, and write it as it comes."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from xattr.data import Source, Tile, load_tiles
from xattr.run import _layout as layout
from xattr.run._computation import Computation
from xattr.run._group import begin
from xattr.run._labels import classes_by_name
from xattr.run._lock import Lock
from xattr.run._manifest import open_manifest
from xattr.run._place import Place
from xattr.run._plan import Plan
from xattr.run._rows import schema
from xattr.run._store import Store
from xattr.run._writer import Writer


@dataclass(frozen=True)
class Share:
    """Which part of a run a process does: shards `number`, then each `count`-th."""

    number: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.count:
            raise ValueError(
                f"`number`={self.number} is no share of {self.count}: give 0 to "
                f"{self.count - 1}."
            )


WHOLE = Share()


@dataclass
class Progress:
    """How far a process is with its share of a run.

    Attributes:
      total: records of the share.
      done: those whose results are kept, found there included.
      computed: those whose results this call computed.
      statuses: how many of those have each status.
      busy: part of the time, from 0 to 1, that the devices were at work.
      rate: records per second.
    """

    total: int = 0
    done: int = 0
    computed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    busy: float = 0.0
    rate: float = 0.0


def execute(
    plan: Plan,
    source: Source,
    place: Place,
    *,
    share: Share = WHOLE,
    computation: Computation | None = None,
    about: Mapping[str, Any] | None = None,
    num_workers: int = 0,
    limit: int | None = None,
    report: Callable[[Progress], object] = lambda progress: None,
) -> Progress:
    """Compute and write what a store lacks of this process's share of a run.

    Args:
      plan: what to compute.
      source: the records.
      place: where the results go.
      share: which shards are this process's.
      computation: the plan's programs; by default on all local devices.
      about: facts for `run.json` that change no result.
      num_workers: processes that decode; 0 for threads.
      limit: most tiles that this call computes; all by default.
      report: called when the results of a batch are kept; it may raise, which ends
        the run where it can go on.

    Returns:
      How it went.

    Raises:
      OSError: if the store cannot be written or read.
      RunLocked: if another process writes this share.
      RunMismatch: if the store holds another run.
      TypeError: as the methods.
      ValueError: as the methods, or if there are no records.
    """
    computation = computation or Computation(plan)
    layouts = computation.layouts()
    if not len(source):
        raise ValueError("`source` holds no records.")
    open_manifest(place, computation, source, about or {})
    with Lock(place, share.number, share.count) as lock:
        store = Store(
            place,
            layouts,
            num_records=len(source),
            tile_size=plan.tile_size,
            schema=schema(list(plan.methods)),
        )
        shards = range(share.number, layout.num_shards(len(source)), share.count)
        missing = missing_tiles(store, shards)
        progress = progress_at_start(store, shards, missing)
        report(progress)
        tiles = [tile for shard in missing for tile in sorted(missing[shard])][:limit]
        size = plan.preprocess.size
        loading = load_tiles(
            source,
            tiles,
            tile_size=plan.tile_size,
            transform=plan.preprocess.pixels,
            size=size,
            num_workers=num_workers,
        )
        class_of = classes_by_name(plan.pretrained.classes).get
        started = time.monotonic()

        def written(rows: Sequence[Mapping[str, Any]]) -> None:
            progress.done += len(rows)
            progress.computed += len(rows)
            progress.statuses.update(_kind(row["status"]) for row in rows)
            seconds = time.monotonic() - started
            progress.busy = writer.busy / seconds
            progress.rate = progress.computed / seconds

        with (
            closing(loading),
            Writer(computation, store, layouts, missing, written) as writer,
        ):
            for group in _groups(loading, computation.num_tiles):
                writer.wait_for_slot()
                lock.check()
                report(progress)
                writer.put(begin(computation, group, class_of), time.monotonic())
    report(progress)
    return progress


def _groups(tiles: Iterator[Tile], size: int) -> Iterator[list[Tile]]:
    """So many tiles at a time."""
    while group := list(islice(tiles, size)):
        yield group


def missing_tiles(store: Store, shards: Sequence[int]) -> dict[int, set[int]]:
    """The tiles to compute, by shard; what is staged whole is committed first."""
    done = store.committed(shards)
    staged = store.staged(shard for shard in shards if shard not in done)
    missing = {}
    for shard in store.remnants() & done:
        store.discard(shard)
    for shard in shards:
        if shard in done:
            continue
        tiles = set(store.tiles(shard)) - staged
        store.clear(shard)
        if not tiles:
            store.commit(shard)
        else:
            missing[shard] = tiles
    return missing


def progress_at_start(
    store: Store, shards: Sequence[int], missing: Mapping[int, set[int]]
) -> Progress:
    """Where the share stands before anything is computed."""
    count, size = store.num_records, store.tile_size
    total = sum(len(layout.shard_range(shard, count)) for shard in shards)
    left = sum(
        min(size, count - tile * size) for tiles in missing.values() for tile in tiles
    )
    return Progress(total=total, done=total - left)


def _kind(status: str) -> str:
    """What a status counts as."""
    return status if status in ("ok", "skipped") else "faulty"
