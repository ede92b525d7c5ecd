"""A run as data: its settings, its rows and its maps, read when asked for."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from xattr.run import _layout as layout
from xattr.run._lock import live_holders
from xattr.run._manifest import read_manifest
from xattr.run._place import Place, storage_errors

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorstore as ts


class Maps:
    """One method's maps of all records; what is indexed is what is read.

    `maps[3]`, `maps[10:20]`, `maps[[1, 5]]` and `maps[-1, ..., 0]` give what they would
    of a NumPy array, in single precision; whole maps are read, of the records asked
    for. Those kept in one byte are multiplied by their scales. A record without a map,
    and one that is not computed yet, is all `nan`.

    Attributes:
      array: the stored array, as TensorStore opens it.
      scale: its scales, or None.
    """

    def __init__(
        self, place: Place, array: "ts.TensorStore", scale: "ts.TensorStore | None"
    ) -> None:
        self._place, self.array, self.scale = place, array, scale

    @property
    def shape(self) -> tuple[int, ...]:
        """Records, and the shape of one map."""
        return tuple(self.array.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Float[np.ndarray, "..."]:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if first is Ellipsis:
            first, rest = slice(None), [first, *rest]
            rest = rest if len(rest) > 1 else []
            return self[first][(..., *rest[1:])] if rest else self[first]
        records = np.arange(len(self))[first]
        maps = self._read(np.atleast_1d(records))
        maps = maps if np.ndim(records) else maps[0]
        return maps[(slice(None),) * np.ndim(records) + tuple(rest)]

    def _read(self, records: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n ..."]:
        """Whole maps of some records."""
        where: Any = records
        if len(records) and (np.diff(records) == 1).all():
            where = slice(int(records[0]), int(records[-1]) + 1)
        with storage_errors(self._place):
            maps = np.asarray(self.array[where].read().result(), np.float32)
            if self.scale is None:
                return maps
            scale = np.asarray(self.scale[where].read().result())
        return maps * scale.reshape(scale.shape + (1,) * (maps.ndim - 1))


class Run:
    """A run's store, whole or in the making.

    Attributes:
      settings: what decides its results, as in `run.json`.
      about: what else `run.json` tells.
      maps: by method.
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        self._place = Place(address)
        manifest = read_manifest(self._place.read(layout.RUN), self._place)
        self.settings: dict[str, Any] = manifest["run"]
        self.about: dict[str, Any] = manifest["about"]

    def __len__(self) -> int:
        """How many records the run is of."""
        return self.settings["records"]["count"]

    def __repr__(self) -> str:
        methods = ", ".join(self.methods)
        return f"Run({self._place}, {len(self)} records, {methods})"

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(self.settings["methods"])

    @cached_property
    def maps(self) -> Mapping[str, Maps]:
        """Each method's maps."""
        scaled = self.settings["maps"]["dtype"] == "int8"
        return {
            name: Maps(
                self._place,
                self._place.array(f"{layout.MAPS}{name}"),
                self._place.array(f"{layout.MAPS}{name}_scale") if scaled else None,
            )
            for name in self.methods
        }

    @property
    def committed(self) -> tuple[int, ...]:
        """Numbers of the shards that are whole, as far as their rows tell."""
        names = self._place.names(layout.ROWS)
        return tuple(map(layout.committed_shard, names))

    @property
    def num_staged(self) -> int:
        """Records that are computed, of shards that are not whole."""
        size = self.settings["tile_size"]
        done, names = set(self.committed), self._place.names(layout.STAGED)
        waiting = [n for n in names if layout.staged_shard(n) not in done]
        tiles = [name.split("/")[-1] for name in waiting]
        starts = [int(tile.split(".")[0]) * size for tile in tiles]
        return sum(min(size, len(self) - start) for start in starts)

    def rows(
        self,
        *,
        columns: Sequence[str] | None = None,
        shards: Sequence[int] | None = None,
    ) -> "pa.Table":
        """The rows of committed shards, in order.

        Args:
          columns: names of those wanted; all by default.
          shards: numbers of those wanted; by default all that are committed.
        """
        import io

        import pyarrow as pa
        from pyarrow import parquet

        wanted = self.committed if shards is None else shards
        names = [layout.rows_name(shard) for shard in wanted]
        if not names:
            raise ValueError(f"{self._place} has no committed shard yet.")
        parts = self._place.read_many(names)
        if missing := [s for s, n in zip(wanted, names, strict=True) if n not in parts]:
            raise ValueError(
                f"`shards`={list(wanted)} holds {missing[0]}, which is not committed; "
                f"these are: {list(self.committed)}."
            )
        return pa.concat_tables(
            parquet.read_table(io.BytesIO(parts[name]), columns=columns)
            for name in names
        )

    def writers(self) -> list[dict[str, Any]]:
        """The processes that are writing: host, number, share."""
        names = self._place.names("locks/")
        return live_holders(self._place.read_many(names).values())

    def statuses(self) -> Counter[str]:
        """How many committed records have each status."""
        if not self.committed:
            return Counter()
        return Counter(self.rows(columns=["status"])["status"].to_pylist())


def open_run(address: str | os.PathLike[str]) -> Run:
    """Open what a run has computed; rows and maps are read when they are asked for.

    Args:
      address: the run's folder or bucket.

    Raises:
      OSError: if it cannot be read.
      RunMismatch: if it holds no run.
    """
    return Run(address)
