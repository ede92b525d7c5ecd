import numpy as np
import pytest

import xattr
from tests.run.conftest import noise, plan, run
from xattr.run import RunMismatch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of two shards and one unreadable record."""
    folder = tmp_path_factory.mktemp("run")
    run(folder, plan("grad_cam", "gradient", maps_dtype="int8"), noise(300, bad=(7,)))
    return folder


def test_a_run_opens_with_its_settings(folder):
    found = xattr.open_run(folder)
    assert len(found) == 300
    assert found.methods == ("grad_cam", "gradient")
    assert found.settings["tile_size"] == 8
    assert found.committed == (0, 1)
    assert found.num_staged == 0
    assert found.statuses() == {"ok": 299, "skipped": 1}
    assert repr(found).endswith("300 records, grad_cam, gradient)")


def test_rows_are_read_as_asked_for(folder):
    found = xattr.open_run(folder)
    assert found.rows(columns=["index", "file"], shards=[1]).column_names == [
        "index",
        "file",
    ]
    assert found.rows(shards=[1])["index"].to_pylist() == list(range(256, 300))


def test_pandas_reads_the_rows(folder):
    pandas = pytest.importorskip("pandas")
    rows = pandas.read_parquet(folder / "rows")
    assert rows["index"].tolist() == list(range(300))
    assert rows["status"][7] == "skipped"
    assert rows["gradient_max"].notna().sum() == 299


def test_zarr_and_xarray_read_the_maps(folder):
    zarr = pytest.importorskip("zarr")
    xarray = pytest.importorskip("xarray")
    maps = xattr.open_run(folder).maps["gradient"]
    group = zarr.open_group(folder / "maps.zarr", mode="r")
    data = xarray.open_zarr(
        folder / "maps.zarr", consolidated=False, mask_and_scale=False
    )
    assert data["gradient"].dims == ("record", "y16", "x16", "c3")
    for record in (0, 299):
        steps = np.asarray(group["gradient"][record], np.float32)
        scale = np.float32(group["gradient_scale"][record])
        np.testing.assert_array_equal(steps * scale, maps[record])
        np.testing.assert_array_equal(data["gradient"][record].values, steps)
    assert np.isnan(group["gradient_scale"][7])


def test_maps_are_indexed_as_arrays(folder):
    maps = xattr.open_run(folder).maps["grad_cam"]
    assert maps.shape == (300, 16, 16)
    assert len(maps) == 300
    assert maps[2].shape == (16, 16)
    assert maps[[1, 5, 299]].shape == (3, 16, 16)
    np.testing.assert_array_equal(maps[[1, 5]][1], maps[5])
    np.testing.assert_array_equal(maps[4:6][1], maps[5])


@pytest.mark.parametrize(
    "index",
    [
        -1,
        slice(-3, None),
        slice(290, 900),
        slice(None, None, 97),
        [0, -1],
        (3, 0),
        (slice(2, 9), slice(None), 0),
        (..., 0),
        (slice(4, 6), ..., 1),
        (5, ..., slice(1, 3)),
        slice(7, 7),
    ],
)
@pytest.mark.parametrize("method", ["grad_cam", "gradient"])
def test_any_index_gives_what_it_would_of_an_array(folder, method, index):
    maps = xattr.open_run(folder).maps[method]
    np.testing.assert_array_equal(maps[index], maps[:][index])


def test_maps_out_of_range_are_an_index_error(folder):
    with pytest.raises(IndexError, match="300"):
        xattr.open_run(folder).maps["grad_cam"][300]


def test_shards_that_are_not_there_are_named(folder):
    with pytest.raises(ValueError, match=r"holds 7, which is not committed.*\[0, 1\]"):
        xattr.open_run(folder).rows(shards=[0, 7])


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunMismatch, match="holds no run"):
        xattr.open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(RunMismatch, match="holds no run"):
        xattr.open_run(tmp_path)
