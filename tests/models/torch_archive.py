"""Torch archives, put together by hand: the tests have no torch."""

import io
import pickle
import zipfile
from typing import Any

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
}


class Storage:
    """A record of the archive, seen as numbers of one type."""

    def __init__(self, key, values, *, kind=None, count=None):
        self.key, self.values = key, np.asarray(values, order="C")
        self.kind = kind or STORAGES[self.values.dtype.name]
        self.count = self.values.size if count is None else count


class Tensor:
    """A view of a storage."""

    def __init__(self, storage, shape=None, strides=None, offset=0):
        shape = storage.values.shape if shape is None else shape
        if strides is None:
            strides = np.cumprod((1, *shape[:0:-1]))[::-1][: len(shape)]
        self.storage, self.offset = storage, offset
        self.shape, self.strides = shape, tuple(int(step) for step in strides)


class Global:
    """A function or class of any module, perhaps called with arguments."""

    def __init__(self, module, name, arguments=None):
        self.module, self.name, self.arguments = module, name, arguments


_Machine: Any = pickle._Pickler


class _Pickler(_Machine):
    dispatch = dict(_Machine.dispatch)

    def save_global_name(self, item):
        self.write(f"c{item.module}\n{item.name}\n".encode())
        if item.arguments is not None:
            self.save(item.arguments)
            self.write(pickle.REDUCE)

    def save_storage(self, item):
        kind = Global("torch", item.kind)
        self.save(("storage", kind, item.key, "cpu", item.count))
        self.write(pickle.BINPERSID)

    def save_tensor(self, item):
        self.write(b"ctorch._utils\n_rebuild_tensor_v2\n")
        hooks = Global("collections", "OrderedDict", ())
        view = (item.storage, item.offset, item.shape, item.strides, False, hooks)
        self.save(view)
        self.write(pickle.REDUCE)

    dispatch[Global] = save_global_name
    dispatch[Storage] = save_storage
    dispatch[Tensor] = save_tensor


def pickled(content) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(content)
    return buffer.getvalue()


def write_archive(path, content, storages=(), *, records=(), **options):
    """Write an archive of a pickle (bytes or objects) and the records of storages."""
    data = content if isinstance(content, bytes) else pickled(content)
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", b"little")
        for storage in storages:
            archive.writestr(f"archive/data/{storage.key}", storage.values.tobytes())
        for name, record in records:
            archive.writestr(name, record)
    return path


def write_tensors(path, arrays):
    """Write arrays as `torch.save` writes a state dict."""
    storages = {
        name: Storage(str(index), array)
        for index, (name, array) in enumerate(arrays.items())
    }
    content = {name: Tensor(storage) for name, storage in storages.items()}
    return write_archive(path, content, storages.values())
