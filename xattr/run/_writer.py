"""Results written while the next are computed."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Queue
from types import TracebackType
from typing import Any

from xattr.run import _layout as layout
from xattr.run._computation import Computation
from xattr.run._group import Group, collect
from xattr.run._layout import Layout
from xattr.run._store import Staged, Store

# One group that is computed, and one that is written.
_IN_FLIGHT = 2

Written = Callable[[Sequence[Mapping[str, Any]]], object]


class Writer:
    """A thread that collects groups in their order, stages their tiles and commits.

    Args:
      computation: the programs that the groups were begun with.
      store: where results are kept.
      layouts: its arrays.
      missing: for each shard, the tiles that are still to be staged.
      written: called with the rows of a group once they are staged.

    Attributes:
      busy: seconds that the devices were at work.
    """

    def __init__(
        self,
        computation: Computation,
        store: Store,
        layouts: Sequence[Layout],
        missing: Mapping[int, set[int]],
        written: Written,
    ) -> None:
        self._computation, self._store, self._layouts = computation, store, layouts
        self._missing = {shard: set(tiles) for shard, tiles in missing.items()}
        self._written = written
        self._slots = threading.Semaphore(_IN_FLIGHT)
        self._queue: Queue[tuple[Group, float] | None] = Queue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.busy, self._ready = 0.0, 0.0

    def __enter__(self) -> "Writer":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write all that was begun, and raise what went wrong."""
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def wait_for_slot(self) -> None:
        """Wait until another group may begin.

        Raises:
          Exception: what went wrong while writing.
        """
        self._slots.acquire()
        if self._error is not None:
            raise self._error

    def put(self, group: Group, begun: float) -> None:
        """Have a group, begun at a time, collected and written."""
        self._queue.put((group, begun))

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                if self._error is None:
                    self._write(*item)
            except BaseException as error:
                self._error = error
            finally:
                self._slots.release()

    def _write(self, group: Group, begun: float) -> None:
        """Stage a group's tiles, and commit the shards that they make whole."""
        group.wait()
        ready = time.monotonic()
        self.busy += ready - max(begun, self._ready)
        self._ready = ready
        classes = self._computation.plan.pretrained.classes
        for number, staged in collect(self._computation, group, self._layouts, classes):
            self._stage(number, staged)
            self._written(staged.rows)

    def _stage(self, tile: int, staged: Staged) -> None:
        self._store.stage(tile, staged)
        shard = tile * self._store.tile_size // layout.SHARD
        self._missing[shard].discard(tile)
        if not self._missing[shard]:
            self._store.commit(shard)
