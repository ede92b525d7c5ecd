"""Writes a store of made-up results, slowly, for tests that kill it.

`python -m tests.run.writer FOLDER LOG PAUSE`: every tile computed is a line of LOG.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from xattr.run._layout import Layout, num_shards
from xattr.run._lock import Lock
from xattr.run._place import Place
from xattr.run._store import Staged, Store

NUM_RECORDS, TILE = 1100, 32
LAYOUTS = [
    Layout("a", "map", (7, 7), "float32"),
    Layout("b", "map", (16, 16, 3), "float16"),
]
SCHEMA = pa.schema([("index", pa.int64()), ("value", pa.float32())])


def results(tile):
    """What a tile's records give."""
    index = np.arange(tile * TILE, min((tile + 1) * TILE, NUM_RECORDS))
    draws = [np.random.default_rng(k) for k in index]
    arrays = {
        layout.name: np.stack([d.normal(size=layout.shape) for d in draws]).astype(
            layout.dtype
        )
        for layout in LAYOUTS
    }
    return Staged(arrays, [{"index": int(k), "value": float(k) / 7} for k in index])


def open_store(folder):
    """The store in a folder."""
    return Store(
        Place(folder),
        LAYOUTS,
        num_records=NUM_RECORDS,
        tile_size=TILE,
        schema=SCHEMA,
    )


def write(folder, log, pause=0.0):
    """Write what is missing."""
    store = open_store(folder)
    with Lock(store.place):
        shards = range(num_shards(NUM_RECORDS))
        done = store.committed(shards)
        for shard in shards:
            if shard in done:
                store.discard(shard)
                continue
            staged = store.staged([shard])
            for tile in store.tiles(shard):
                if tile not in staged:
                    time.sleep(pause)
                    with Path(log).open("a") as file:
                        file.write(f"{tile}\n")
                    store.stage(tile, results(tile))
            store.commit(shard)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], pause=float(sys.argv[3]))
