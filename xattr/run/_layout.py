"""Where everything lies in a store, and in what form."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

SHARD = 256

RUN = "run.json"
MAPS = "maps.zarr/"
ROWS = "rows/part-"
STAGED = "staged/"

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}
_CHUNK_BYTES = 1 << 20
_AXES = ("y", "x", "c")


@dataclass(frozen=True)
class Layout:
    """One array of a store: a value for every record.

    Attributes:
      method: whose it is.
      part: "map", or "scale" of maps kept in one byte.
      shape: of one record's value.
      dtype: as NumPy names it.
    """

    method: str
    part: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def name(self) -> str:
        """Name of the array: the method's, or the method's with `_scale`."""
        return self.method if self.part == "map" else f"{self.method}_{self.part}"

    @property
    def fill(self) -> float:
        """What stands where there is no value."""
        return 0 if self.dtype == "int8" else math.nan

    @property
    def bytes_each(self) -> int:
        """Bytes of one record's value, uncompressed."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def metadata(self, num_records: int) -> dict[str, Any]:
        """The array as Zarr 3 describes it: shards of 256 records, the unit of commit.

        The chunks inside a shard hold about a megabyte each.
        """
        count = max(1, min(SHARD, _CHUNK_BYTES // max(self.bytes_each, 1)))
        count = 1 << (count.bit_length() - 1)  # so that it divides the shard
        little = {"name": "bytes", "configuration": {"endian": "little"}}
        codecs = [
            {"name": "bytes"} if self.dtype == "int8" else little,
            {"name": "zstd", "configuration": {"level": 1, "checksum": True}},
        ]
        sharding = {
            "chunk_shape": [count, *self.shape],
            "codecs": codecs,
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        }
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [num_records, *self.shape],
            "data_type": self.dtype,
            "dimension_names": ["record", *self._dimensions()],
            "fill_value": "NaN" if math.isnan(self.fill) else self.fill,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [SHARD, *self.shape]},
            },
            "chunk_key_encoding": {
                "name": "default",
                "configuration": {"separator": "/"},
            },
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {},
        }

    def shard_name(self, shard: int) -> str:
        """Name of the object that holds a shard."""
        zeros = "/0" * len(self.shape)
        return f"{MAPS}{self.name}/c/{shard}{zeros}"

    def _dimensions(self) -> list[str]:
        """Names that two arrays share where they share the size, as xarray wants."""
        axes = _AXES if len(self.shape) <= len(_AXES) else ()
        names = axes[: len(self.shape)] or [f"d{k}" for k in range(len(self.shape))]
        return [f"{a}{n}" for a, n in zip(names, self.shape, strict=True)]


def num_shards(num_records: int) -> int:
    """How many shards hold so many records."""
    return -(-num_records // SHARD)


def shard_range(shard: int, num_records: int) -> range:
    """The records of a shard."""
    return range(shard * SHARD, min((shard + 1) * SHARD, num_records))


def rows_name(shard: int) -> str:
    """Name of a shard's rows; their presence says that the shard is committed."""
    return f"{ROWS}{shard:05d}.parquet"


def tiles_of(shard: int, tile_size: int, num_records: int) -> range:
    """The tiles of a shard."""
    records = shard_range(shard, num_records)
    return range(records.start // tile_size, -(-records.stop // tile_size))


def staged_name(tile: int, tile_size: int) -> str:
    """Name of a computed tile whose shard is not yet whole."""
    shard = tile * tile_size // SHARD
    return f"{STAGED}{shard:05d}/{tile:08d}.safetensors"


def staged_shard(name: str) -> int:
    """The shard of a staged tile, by its name."""
    return int(name.removeprefix(STAGED).split("/")[0])


def committed_shard(name: str) -> int:
    """The shard of a file of rows, by its name."""
    return int(name.removeprefix(ROWS).split(".")[0])


def to_json(value: Any) -> bytes:
    """Text that is the same for the same value."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
