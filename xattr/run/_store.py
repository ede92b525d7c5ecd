"""What a run has computed: tiles that wait, and shards that are committed.

A tile's results are written, whole, as soon as they are computed. When all tiles of a
shard are there, the shard's arrays are written, each whole, then its rows, also whole;
then the tiles are removed. The rows commit the shard: whatever is killed, and whenever,
each shard is either committed, or all its tiles that were written are found again.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xattr.run import _layout as layout
from xattr.run._layout import Layout
from xattr.run._place import Place, storage_errors

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

# How TensorStore begins when what it read is not what was written.
_DAMAGE = ("DATA_LOSS", "INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION")


class Staged(NamedTuple):
    """What is known of a tile's records: an array each, and a row each."""

    arrays: Mapping[str, np.ndarray]
    rows: Sequence[Row]


class Store:
    """The results of a run in a folder or a bucket.

    Args:
      place: where.
      layouts: the arrays.
      num_records: how many records there are.
      tile_size: how many of them are computed, and staged, together.
      schema: the columns of the rows.
    """

    def __init__(
        self,
        place: Place,
        layouts: Sequence[Layout],
        *,
        num_records: int,
        tile_size: int,
        schema: "pa.Schema",
    ) -> None:
        self.place, self.num_records, self.tile_size = place, num_records, tile_size
        self._layouts, self._schema = tuple(layouts), schema
        self._present: frozenset[str] = frozenset()
        place.write(f"{layout.MAPS}zarr.json", layout.to_json(layout.GROUP))
        self._arrays = {
            array.name: place.array(
                layout.MAPS + array.name, array.metadata(num_records)
            )
            for array in layouts
        }

    def committed(self, shards: Iterable[int]) -> set[int]:
        """Those of some shards that are whole: rows and arrays are there and sound."""
        names = *self.place.names(layout.ROWS), *self.place.names(layout.MAPS)
        self._present = frozenset(names)
        likely = [shard for shard in shards if self._names(shard) <= self._present]
        with ThreadPoolExecutor(8) as pool:
            sound = pool.map(self._is_sound, likely)
            return {s for s, ok in zip(likely, sound, strict=True) if ok}

    def staged(self, shards: Iterable[int]) -> set[int]:
        """The tiles of some shards that are computed and wait to be committed."""
        names = self.place.names(layout.STAGED)
        wanted = {
            layout.staged_name(tile, self.tile_size): tile
            for shard in shards
            for tile in self.tiles(shard)
        }
        return {wanted[n] for n in names if n in wanted and self._load(n) is not None}

    def remnants(self) -> set[int]:
        """Shards of which tiles wait."""
        return {layout.staged_shard(name) for name in self.place.names(layout.STAGED)}

    def stage(self, tile: int, results: Staged) -> None:
        """Keep a tile's results until its shard is whole."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(a) for name, a in results.arrays.items()}
        content = save(arrays, metadata={"rows": json.dumps(results.rows)})
        self.place.write(layout.staged_name(tile, self.tile_size), content)

    def read(self, tile: int) -> Staged:
        """What is kept of a tile, waiting or committed.

        Raises:
          RuntimeError: if nothing is.
        """
        from pyarrow import parquet

        waiting = self._load(layout.staged_name(tile, self.tile_size))
        if waiting is not None:
            return waiting
        first = tile * self.tile_size
        stop = min(first + self.tile_size, self.num_records)
        shard = first // layout.SHARD
        content = self.place.read(layout.rows_name(shard))
        if content is None:
            raise RuntimeError(f"Tile {tile} is not in {self.place}.")
        start = first - layout.shard_range(shard, self.num_records).start
        rows = parquet.read_table(io.BytesIO(content)).slice(start, stop - first)
        with storage_errors(self.place):
            reading = {n: a[first:stop].read() for n, a in self._arrays.items()}
            arrays = {name: future.result() for name, future in reading.items()}
        return Staged(arrays, rows.to_pylist())

    def commit(self, shard: int) -> None:
        """Write a shard from its tiles, all of which are staged, and remove them.

        Raises:
          RuntimeError: if one of them is not there.
        """
        names = [layout.staged_name(t, self.tile_size) for t in self.tiles(shard)]
        parts = [self._load(name) for name in names]
        if any(part is None for part in parts):
            raise RuntimeError(f"Tiles of shard {shard} are gone from {self.place}.")
        found = [part for part in parts if part is not None]
        records = layout.shard_range(shard, self.num_records)
        with storage_errors(self.place):
            writing = [
                array[records.start : records.stop].write(
                    np.concatenate([part.arrays[name] for part in found])
                )
                for name, array in self._arrays.items()
            ]
            for future in writing:
                future.result()
        rows = [row for part in found for row in part.rows]
        self.place.write(layout.rows_name(shard), _to_parquet(rows, self._schema))
        self.discard(shard)

    def discard(self, shard: int) -> None:
        """Remove what is staged of a shard."""
        self.place.remove_all(f"{layout.STAGED}{shard:05d}/")

    def clear(self, shard: int) -> None:
        """Remove what `committed` saw of a shard that is not, but what is staged.

        A damaged array would be read, to write the rest of it, and fail.
        """
        for name in self._names(shard) & self._present:
            self.place.remove(name)

    def tiles(self, shard: int) -> range:
        """The tiles of a shard."""
        return layout.tiles_of(shard, self.tile_size, self.num_records)

    def _names(self, shard: int) -> set[str]:
        """Names of all that a committed shard has."""
        arrays = {array.shard_name(shard) for array in self._layouts}
        return arrays | {layout.rows_name(shard)}

    def _is_sound(self, shard: int) -> bool:
        """Whether a shard's rows, and the index at the end of each array, are whole."""
        import pyarrow as pa
        from pyarrow import parquet

        first = layout.shard_range(shard, self.num_records).start
        rows = self.place.read(layout.rows_name(shard)) or b""
        try:
            parquet.read_metadata(io.BytesIO(rows))
            for array in self._arrays.values():
                array[first].read().result()
        except pa.ArrowInvalid:
            return False
        except ValueError as error:
            if str(error).startswith(_DAMAGE):
                return False
            raise OSError(f"{self.place}: {error}") from error
        return True

    def _load(self, name: str) -> Staged | None:
        """A staged tile, or None if it is not whole."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        content = self.place.read(name) or b""
        try:
            arrays = load(content)
            length = int.from_bytes(content[:8], "little")
            rows = json.loads(
                json.loads(content[8 : 8 + length])["__metadata__"]["rows"]
            )
        except (SafetensorError, ValueError, KeyError):
            return None
        return Staged(arrays, rows)


def _to_parquet(rows: Sequence[Row], schema: "pa.Schema") -> bytes:
    """Rows as one Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    table = pa.Table.from_pylist(list(rows), schema=schema)
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
