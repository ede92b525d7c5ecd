import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.run import writer
from tests.run.conftest import digests
from xattr.run import Place
from xattr.run._store import Staged


def test_a_store_holds_what_was_written(tmp_path):
    writer.write(tmp_path, tmp_path.with_suffix(".log"))
    import pyarrow.parquet as pq
    import zarr

    group = zarr.open_group(tmp_path / "maps.zarr", mode="r")
    expected = [writer.results(t) for t in range(-(-writer.NUM_RECORDS // writer.TILE))]
    for layout in writer.LAYOUTS:
        whole = np.concatenate([part.arrays[layout.name] for part in expected])
        np.testing.assert_array_equal(np.asarray(group[layout.name]), whole)
    rows = [
        pq.read_table(path).to_pylist()
        for path in sorted((tmp_path / "rows").iterdir())
    ]
    assert [len(part) for part in rows] == [256, 256, 256, 256, 76]
    assert [row["index"] for part in rows for row in part] == list(range(1100))
    assert not list(tmp_path.glob("staged/*/*"))


def test_a_shard_is_committed_when_its_rows_and_arrays_are_whole(tmp_path):
    writer.write(tmp_path, tmp_path.with_suffix(".log"))
    store = writer.open_store(tmp_path)
    assert store.committed(range(5)) == {0, 1, 2, 3, 4}
    (tmp_path / "rows/part-00001.parquet").unlink()
    array = tmp_path / "maps.zarr/a/c/2/0/0"
    array.write_bytes(array.read_bytes()[:-1])
    (tmp_path / "maps.zarr/b/c/3/0/0/0").unlink()
    rows = tmp_path / "rows/part-00004.parquet"
    rows.write_bytes(rows.read_bytes()[:100])
    assert store.committed(range(5)) == {0}


def test_a_shard_is_not_committed_without_all_its_tiles(tmp_path):
    store = writer.open_store(tmp_path)
    store.stage(0, writer.results(0))
    with pytest.raises(RuntimeError, match="Tiles of shard 0 are gone"):
        store.commit(0)


def test_a_staged_tile_comes_back_as_it_was(tmp_path):
    store = writer.open_store(tmp_path)
    rows = [{"index": 3, "value": 0.1, "text": 'ü "\n', "none": None}]
    arrays = {"a": np.full((1, 7, 7), np.nan, "f4"), "b": np.ones((1, 2), "i1")}
    store.stage(5, Staged(arrays, rows))
    assert store.staged([0]) == {5}
    assert store.staged([1]) == set()
    (name,) = store.place.names("staged/")
    found = store._load(name)
    assert found is not None
    assert found.rows == rows
    for key, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[key], array)
        assert found.arrays[key].dtype == array.dtype


def test_a_place_in_memory_serves_as_well():
    store = writer.open_store("memory://tests")
    for tile in store.tiles(0):
        store.stage(tile, writer.results(tile))
    store.commit(0)
    assert store.committed(range(5)) == {0}
    assert store.place.names("rows/") == ["rows/part-00000.parquet"]


def test_storage_that_refuses_is_an_error_of_the_system(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        Place(tmp_path / "file").write("name", b"value")


@pytest.mark.slow
def test_a_store_survives_twenty_kills(tmp_path):
    writer.write(tmp_path / "whole", tmp_path / "whole.log")
    generator, log = np.random.default_rng(0), tmp_path / "killed.log"
    command = [sys.executable, "-m", "tests.run.writer", str(tmp_path / "killed")]
    root = Path(writer.__file__).parents[2]
    kills = 0
    while kills < 20:
        process = subprocess.Popen([*command, str(log), "0.02"], cwd=root)
        deadline = time.monotonic() + 60
        before = _lines(log)
        while _lines(log) == before and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        kills += 1
    subprocess.run([*command, str(log), "0"], cwd=root, check=True)
    assert kills == 20
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    computed = Counter(log.read_text().split())
    assert sum(computed.values()) - len(computed) <= kills


def _lines(log):
    return log.read_text().count("\n") if log.exists() else 0
