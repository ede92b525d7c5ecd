import os
import pickle
import struct
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.torch_archive import (
    Global,
    Storage,
    Tensor,
    pickled,
    write_archive,
    write_tensors,
)
from xattr.models._torch_file import read_torch

SIX = np.arange(6, dtype=np.float32)


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, jnp.bfloat16, np.int64]
)
def test_types_and_shapes(tmp_path, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    path = write_tensors(tmp_path / "w.pt", {"a": array, "b": array[0, 0, 0]})
    tensors = read_torch(path)
    assert tensors["a"].dtype == array.dtype
    np.testing.assert_array_equal(tensors["a"], array)
    assert tensors["b"].shape == ()


def test_strides_and_offsets(tmp_path):
    storage = Storage("0", SIX)
    content = {
        "transposed": Tensor(storage, (3, 2), (1, 3)),
        "tail": Tensor(storage, (2,), (1,), offset=4),
        "every second": Tensor(storage, (3,), (2,)),
        "empty": Tensor(storage, (0, 5), (5, 1)),
    }
    tensors = read_torch(write_archive(tmp_path / "w.pt", content, [storage]))
    np.testing.assert_array_equal(tensors["transposed"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(tensors["tail"], [4, 5])
    np.testing.assert_array_equal(tensors["every second"], [0, 2, 4])
    assert tensors["empty"].shape == (0, 5)


def test_checkpoints_give_their_state_dict(tmp_path):
    storage = Storage("0", SIX)
    content = {"state_dict": {"a": Tensor(storage)}, "epoch": 3, "best": 0.5}
    path = write_archive(tmp_path / "w.pt", content, [storage])
    assert read_torch(path).keys() == {"a"}


def test_ordered_dicts_and_parameters(tmp_path):
    storage = Storage("0", SIX)
    hooks = Global("collections", "OrderedDict", ())
    parameter = Global(
        "torch._utils", "_rebuild_parameter", (Tensor(storage), True, hooks)
    )
    content = Global("collections", "OrderedDict", ([["a", parameter]],))
    path = write_archive(tmp_path / "w.pt", content, [storage])
    np.testing.assert_array_equal(read_torch(path)["a"], SIX)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("collections", "OrderedDict.__class__"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor_v3"),
        ("torch.nn.modules.linear", "Linear"),
    ],
)
def test_code_is_named_and_not_run(tmp_path, module, name):
    ran = tmp_path / "ran"
    content = {"a": Global(module, name, (f"touch {ran}",))}
    path = write_archive(tmp_path / "w.pt", content)
    with pytest.raises(ValueError, match=f"asks for `{module}.{name}`.*not run"):
        read_torch(path)
    assert not ran.exists()


def test_reduce_of_a_real_pickle_does_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps({"a": Trap()}, protocol)
        path = write_archive(tmp_path / "w.pt", data)
        with pytest.raises(ValueError, match="`posix.mkdir`.*not run"):
            read_torch(path)
    assert not (tmp_path / "ran").exists()


def test_state_cannot_be_set_on_functions(tmp_path):
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    state = b"N}U\x0c__defaults__Ns\x86"
    data = b"\x80\x02}U\x01a" + rebuild + state + b"bs."
    from xattr.models import _torch_file

    path = write_archive(tmp_path / "w.pt", data)
    with pytest.raises(ValueError, match="more than tensors by name"):
        read_torch(path)
    assert _torch_file._rebuild_tensor.__defaults__ is None


@pytest.mark.parametrize(
    "view",
    [
        {"shape": (7,), "strides": (1,)},
        {"shape": (3,), "strides": (3,)},
        {"shape": (2,), "strides": (1,), "offset": 5},
        {"shape": (10**12,), "strides": (0,)},
        {"shape": (2**40, 2**40), "strides": (1, 1)},
    ],
)
def test_views_beyond_the_storage_are_refused(tmp_path, view):
    storage = Storage("0", SIX)
    path = write_archive(tmp_path / "w.pt", {"a": Tensor(storage, **view)}, [storage])
    with pytest.raises(ValueError, match="reaches beyond its storage of 6 values"):
        read_torch(path)


@pytest.mark.parametrize(
    "view",
    [
        {"shape": (2,), "strides": (-1,), "offset": 5},
        {"shape": (2,), "strides": (1,), "offset": -1},
        {"shape": (-2,), "strides": (1,)},
        {"shape": (2, 2), "strides": (1,)},
    ],
)
def test_views_that_make_no_sense_are_refused(tmp_path, view):
    storage = Storage("0", SIX)
    path = write_archive(tmp_path / "w.pt", {"a": Tensor(storage, **view)}, [storage])
    with pytest.raises(ValueError, match="must be whole numbers from 0"):
        read_torch(path)


def test_storages_of_the_wrong_size_are_refused(tmp_path):
    storage = Storage("0", SIX, count=2**50)
    path = write_archive(tmp_path / "w.pt", {"a": Tensor(storage)}, [storage])
    with pytest.raises(ValueError, match="24 bytes instead of"):
        read_torch(path)


@pytest.mark.parametrize("key", ["1", "../../etc/passwd", "/etc/passwd"])
def test_records_are_looked_up_in_the_archive_only(tmp_path, key):
    path = write_archive(tmp_path / "w.pt", {"a": Tensor(Storage(key, SIX))})
    with pytest.raises(ValueError, match="is missing"):
        read_torch(path)


def test_packed_records_are_refused(tmp_path):
    path = write_archive(tmp_path / "w.pt", {"a": 1}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed"):
        read_torch(path)


def test_records_that_claim_more_than_the_file_are_refused(tmp_path):
    path = write_tensors(tmp_path / "w.pt", {"a": SIX})
    honest, claimed = struct.pack("<LL", 24, 24), struct.pack("<LL", 24, 2**31)
    assert honest in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(honest, claimed))
    with pytest.raises(ValueError, match="claim more bytes than the file has"):
        read_torch(path)


def test_the_wrong_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("photographs/cat.jpg", b"")
    with pytest.raises(ValueError, match="this archive has 0"):
        read_torch(tmp_path / "w.pt")
    twice = write_archive(
        tmp_path / "two.pt", {}, records=[("other/data.pkl", pickled({}))]
    )
    with pytest.raises(ValueError, match="this archive has 2"):
        read_torch(twice)


def test_big_endian_is_refused(tmp_path):
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled({}))
        archive.writestr("archive/byteorder", b"big")
    with pytest.raises(ValueError, match="Only little-endian"):
        read_torch(path)


@pytest.mark.parametrize("content", [[1, 2], 5, "text", None])
def test_other_content_is_refused(tmp_path, content):
    with pytest.raises(ValueError, match="not tensors by name"):
        read_torch(write_archive(tmp_path / "w.pt", content))


@pytest.mark.parametrize("content", [{"a": 1}, {1: Tensor(Storage("0", SIX))}])
def test_entries_that_are_no_tensors_are_named(tmp_path, content):
    path = write_archive(tmp_path / "w.pt", content, [Storage("0", SIX)])
    with pytest.raises(ValueError, match="holds more than tensors by name: "):
        read_torch(path)


def test_truncated_files_are_refused(tmp_path):
    path = write_tensors(tmp_path / "w.pt", {"a": SIX})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a whole torch file"):
            read_torch(path)


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x02", b".", b"\x80\x02K\x01", b"r\xff\xff\xff\xff.", b"0."]
)
def test_broken_pickles_are_refused(tmp_path, data):
    with pytest.raises(ValueError, match="torch.save"):
        read_torch(write_archive(tmp_path / "w.pt", data))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_pickles_never_do_more_than_raise(tmp_path_factory, data):
    storage = Storage("0", SIX)
    good = bytearray(pickled({"a": Tensor(storage), "b": Tensor(storage, (2,), (1,))}))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "w.pt"
    write_archive(path, bytes(good), [storage])
    try:
        tensors = read_torch(path)
    except ValueError:
        return
    assert all(isinstance(value, np.ndarray) for value in tensors.values())
