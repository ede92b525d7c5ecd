"""Torch's `state_dict` files, read without running what they hold.

Such a file is a zip archive: a pickle that says how to put tensors together, and
one raw record per storage. The pickle may name any function of any module to be
called; here it gets only the few that rebuild tensors, and those are our own.
"""

import collections
import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

_DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
_MAX_PICKLE_BYTES = 1 << 26


class _StorageType(NamedTuple):
    """Stands for torch's class of that name."""

    name: str

    @property
    def dtype(self) -> np.dtype:
        return _DTYPES[self.name]


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a torch `state_dict` file; nothing in it is run.

    Args:
      path: a file that `torch.save` wrote (torch 1.6 or later): a state dict, or a
        dict that has one under "state_dict".

    Returns:
      Read-only arrays by name, in the types of the file.

    Raises:
      ValueError: if the file is truncated or no such archive, if its pickle names
        any function or class but those that rebuild tensors, if tensors reach
        beyond their storage, or if it holds anything but tensors by name.

    Notes:
      Tensors with more elements than their storage (expanded ones) are refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = _Unpickler(_Records(archive)).load()
    except _Refused as error:
        raise ValueError(f"{path} was refused. {error}") from error
    # Broken bytes can make the zip reader and the pickle machine raise anything.
    except Exception as error:
        raise ValueError(
            f"{path} is not a whole torch file ({type(error).__name__}: {error}). "
            f"{_CURE}"
        ) from error
    return _tensors(content, path)


_CURE = 'Write it anew with `torch.save(model.state_dict(), "weights.pt")`.'


class _Refused(Exception):
    """What a file holds is understood, and not allowed."""


class _Records:
    """The raw records of a torch archive, none of which may unfold in memory."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        entries = archive.infolist()
        packed = [e.filename for e in entries if e.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise _Refused(
                f"A torch file stores its records as they are; {packed[0]!r} is "
                f"compressed. {_CURE}"
            )
        size = archive.fp.seek(0, io.SEEK_END) if archive.fp else 0
        if sum(entry.file_size for entry in entries) > size:
            raise _Refused(
                f"The records claim more bytes than the file has ({size}). {_CURE}"
            )
        pickles = [
            e.filename
            for e in entries
            if e.filename.count("/") == 1 and e.filename.endswith("/data.pkl")
        ]
        if len(pickles) != 1:
            raise _Refused(
                "A torch file has one record `<name>/data.pkl`; this archive has "
                f"{len(pickles)}. {_CURE}"
            )
        self._folder = pickles[0].removesuffix("data.pkl")
        self._sizes = {entry.filename: entry.file_size for entry in entries}
        order = self._folder + "byteorder"
        if order in self._sizes and self.read("byteorder") != b"little":
            raise _Refused(f"Only little-endian torch files can be read. {_CURE}")

    def read(self, name: str, *, limit: int | None = None) -> bytes:
        full = self._folder + name
        if full not in self._sizes:
            raise _Refused(f"The record {full!r} is missing. {_CURE}")
        if limit is not None and self._sizes[full] > limit:
            raise _Refused(
                f"The record {full!r} has {self._sizes[full]} bytes; at most {limit} "
                "are read."
            )
        return self._archive.read(full)


# The machine written in C would allocate whatever memo size a pickle names.
_Machine: Any = pickle._Unpickler


class _Unpickler(_Machine):
    """Unpickler that knows tensors, storages and ordered dicts, and nothing else."""

    def __init__(self, records: _Records):
        super().__init__(io.BytesIO(records.read("data.pkl", limit=_MAX_PICKLE_BYTES)))
        self._records = records
        self._storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _StorageType(name)
        if (module, name) in _GLOBALS:
            return _GLOBALS[module, name]
        raise _Refused(
            f"The file asks for `{module}.{name}`, which has no place in a state "
            "dict and was not run. Only tensors by name can be read: "
            "`torch.save(model.state_dict(), path)`."
        )

    def persistent_load(self, pid: Any) -> np.ndarray:
        match pid:
            case ("storage", _StorageType() as kind, str(key), _, int(count)):
                return self._storage(kind.dtype, key, count)
        raise _Refused(f"The pickle refers to {pid!r:.80}, which is no storage.")

    def _ignore_state(self) -> None:
        """Set no attributes: a state dict's version numbers are all they would be."""
        self.stack.pop()

    dispatch = {
        **_Machine.dispatch,
        pickle.BUILD[0]: _ignore_state,
    }

    def _storage(self, dtype: np.dtype, key: str, count: int) -> np.ndarray:
        if key not in self._storages:
            data = self._records.read(f"data/{key}")
            if len(data) != count * dtype.itemsize:
                raise _Refused(
                    f"Storage {key!r} has {len(data)} bytes instead of {count} × "
                    f"{dtype.itemsize}. {_CURE}"
                )
            self._storages[key] = np.frombuffer(data, dtype)
        return self._storages[key]


def _rebuild_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *_: Any
) -> np.ndarray:
    """View of a storage, after checking that it stays inside."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise _Refused(f"A tensor is built on {type(storage).__name__}, no storage.")
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or not all(
        isinstance(number, int) and number >= 0 for number in numbers
    ):
        raise _Refused(
            f"A tensor has offset {offset}, shape {shape} and strides {strides}; "
            "all must be whole numbers from 0."
        )
    last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    count = prod(shape)
    if count and (offset + last >= storage.size or count > storage.size):
        raise _Refused(
            f"A tensor of shape {shape}, strides {strides} and offset {offset} "
            f"reaches beyond its storage of {storage.size} values. {_CURE}"
        )
    if not count:
        return np.zeros(shape, storage.dtype)
    step = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, [stride * step for stride in strides], writeable=False
    )


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


_GLOBALS: Mapping[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


def _tensors(content: Any, path: Path) -> dict[str, np.ndarray]:
    """Check that a file's content is tensors by name."""
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds {type(content).__name__}, not tensors by name. {_CURE}"
        )
    strangers = [
        f"{name!r:.60} ({type(value).__name__})"
        for name, value in content.items()
        if not isinstance(name, str) or not isinstance(value, np.ndarray)
    ]
    if strangers:
        raise ValueError(
            f"{path} holds more than tensors by name: {', '.join(strangers[:8])}. "
            f"{_CURE}"
        )
    return dict(content)
