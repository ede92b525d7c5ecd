import csv
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import xattr
from tests.run.conftest import noise, plan, run
from xattr.cli import _parts, _reporting
from xattr.cli._gallery import Gallery
from xattr.run import open_run
from xattr.run._open import Maps, Run


def rows(folder):
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text(folder, name="index.html"):
    return (folder / name).read_text("utf-8")


def files(folder, pattern="*"):
    found = (path for path in folder.rglob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.fixture
def done(tiny, call, photos, tmp_path):
    """A finished run of five photographs."""
    result = call("explain", photos, "--batch-size", 2)
    assert result.exit_code == 0, result.output
    return tmp_path / "out"


@pytest.fixture
def pages_of_two(monkeypatch):
    monkeypatch.setattr(Gallery.__init__, "__kwdefaults__", {"page_size": 2})


def test_a_report_is_the_same_again(done, call):
    before = files(done)
    (done / "index-9.html").write_text("of an earlier, larger report")
    result = call("report", done)
    assert result.exit_code == 0, result.output
    assert f"Page:  {done}/index.html" in result.stdout
    assert files(done) == before


def test_a_report_may_go_elsewhere(done, call, tmp_path):
    before = files(done)
    folder = tmp_path / "report"
    result = call("report", done, "--out", folder, "--table", "parquet", "--arrays")
    assert result.exit_code == 0, result.output
    assert files(done) == before
    assert text(folder) == text(done)
    assert len(files(folder, "*.npy")) == 15
    assert not files(folder, "*.zarr")
    assert (folder / "predictions.parquet").exists()
    assert call("report", done, "--out", folder, "--no-overlays").exit_code == 0
    assert not files(folder, "*.npy")
    assert not files(folder, "*.png")


def test_overlays_show_signs_if_wanted(done, call):
    absolute = files(done / "overlays")
    assert call("report", done, "--signed").exit_code == 0
    signed = files(done / "overlays")
    assert signed.keys() == absolute.keys()
    assert signed["gradient/0-x.png"] != absolute["gradient/0-x.png"]


def test_a_report_of_many_records_has_no_overlays_unasked(done, call, monkeypatch):
    monkeypatch.setattr(_reporting, "FEW", 4)
    assert call("report", done).exit_code == 0
    assert not (done / "overlays").exists()
    assert call("report", done, "--overlays").exit_code == 0
    assert len(files(done / "overlays")) == 15


def test_results_are_not_explained(done, call, photos, tmp_path):
    shutil.move(done, photos / "run")
    assert call("report", photos / "run", "--out", photos / "report").exit_code == 0
    assert call("explain", photos, out=tmp_path / "again").exit_code == 0
    assert len(rows(tmp_path / "again")) == 5


def test_photographs_are_drawn_where_they_are(done, call, photos, tmp_path):
    before = text(done)
    photos.rename(tmp_path / "moved")
    result = call("report", done)
    assert result.exit_code == 0
    assert "Drawn on gray: 5 photographs that cannot be read again" in result.stderr
    assert text(done).count("No photograph: it is gone") == 5
    gray = np.asarray(Image.open(done / "overlays" / "gradient" / "0-x.png"))
    assert (gray == 128).all(-1).mean() > 0.05
    assert call("report", done, "--images", tmp_path / "moved").exit_code == 0
    assert text(done) == before


def test_photographs_that_came_and_went(done, call, photos):
    """The others stay with their maps."""
    before = text(done)
    (photos / "a" / "x.png").rename(photos / "a" / "a-new-name.png")
    result = call("report", done)
    assert "Drawn on gray: 1 photographs" in result.stderr
    assert "No photograph: a/a-new-name.png is in its place" in text(done)
    (photos / "a" / "x.png").touch()
    assert "Drawn on gray: 1 photographs" in call("report", done).stderr
    assert "No photograph: the file is empty" in text(done)
    shutil.copy(photos / "a" / "a-new-name.png", photos / "a" / "x.png")
    assert "gray" not in call("report", done).stderr
    assert text(done) == before


def test_photographs_in_archives(tiny, call, photos, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", photos)
    assert call("explain", archive).exit_code == 0
    out = tmp_path / "out"
    assert {row["file"] for row in rows(out)} == {
        *("a/x.png", "a/y.png", "b/x.png", "b/X.png", "b/ü & <b>.png")
    }
    assert "No photograph" not in text(out)
    before = text(out)
    (tmp_path / "all.zip").rename(tmp_path / "moved.zip")
    assert "Drawn on gray: 5" in call("report", out).stderr
    assert call("report", out, "--images", tmp_path / "moved.zip").exit_code == 0
    assert text(out) == before


def test_a_wrong_place_of_photographs(done, call):
    result = call("report", done, "--images", "tfds:mnist")
    assert result.exit_code == 2
    assert "`--images`='tfds:mnist' names no split" in result.stderr


def test_an_unfinished_run_is_shown_as_far_as_it_is(tmp_path, call):
    run(tmp_path, plan(), noise(600))
    (tmp_path / "rows" / "part-00001.parquet").unlink()
    result = call("report", tmp_path, "--no-overlays")
    assert result.exit_code == 0, result.output
    assert len(rows(tmp_path)) == 344
    assert "The run is not finished: 344 of 600 files" in text(tmp_path)
    assert "0599.png" in text(tmp_path, "index-4.html")
    assert not (tmp_path / "index-5.html").exists()


def test_a_run_without_a_whole_shard_is_not_shown(tmp_path, call):
    run(tmp_path, plan(), noise(20))
    (tmp_path / "rows" / "part-00000.parquet").unlink()
    result = call("report", tmp_path)
    assert result.exit_code == 2
    assert "has nothing to show yet" in result.stderr
    assert not (tmp_path / "index.html").exists()


def test_what_is_wrong_is_told(tiny, call, photos, tmp_path, pages_of_two):
    """A skipped file, a place without files, maps that are not finite or all zero."""
    good = tiny.model

    def spoil(params, images):
        bright = images[:, :1, :1, :1].mean((1, 2))
        factor = np.nan * (bright > 0.7) + 1.0 * (bright > 0.3)
        return good.apply(params, images) * factor

    tiny.model = xattr.from_function(spoil, good.params)
    (photos / "a" / "empty.png").touch()
    (photos / "a" / "z.heic").touch()
    words = ("--method", "gradient,grad_cam", "--target", "1")
    assert call("explain", photos, *words).exit_code == 1
    out = tmp_path / "out"
    result = call("report", out)
    assert result.exit_code == 1
    assert "Skipped: a/empty.png: the file is empty" in result.stderr
    assert "z.heic: HEIC is not read; save it as JPEG" in result.stderr
    states = [row["status"] for row in rows(out)]
    assert states.count("skipped") == 2
    faulty = [s for s in states if s not in ("ok", "skipped")]
    assert 0 < len(faulty)
    assert result.stderr.count("Not drawn") == 2 * len(faulty)
    first = " ".join(re.sub("<[^>]+>", " ", text(out)).split())
    for line in (
        f"explained {5 - len(faulty)} explained, with a faulty map",
        f"faulty map {len(faulty)} skipped",
    ):
        assert line in first
    assert "skipped 1 Maps that are finite and not zero" in first
    assert f"Grad-CAM {20 * (5 - len(faulty))}.0% " in first
    assert "2 skipped files" in first or "1 skipped file" in first
    assert "Explained class Egyptian cat" in first


def test_figures_are_of_the_whole_run(tmp_path, call, pages_of_two):
    run(tmp_path, plan(), noise(300, bad=(7,)))
    assert call("report", tmp_path, "--no-overlays").exit_code == 1
    found = open_run(tmp_path).rows().to_pydict()
    first = text(tmp_path)
    assert "Figures of all 300 files" in first
    counts = [int(n) for n in re.findall(r"\d+–\d+%: (\d+)", first)]
    likely = [p for p in found["target_probability"] if p is not None]
    assert counts == np.histogram(likely, bins=20, range=(0, 1))[0].tolist()
    labels = [label for label in found["prediction_label"] if label]
    for label in set(labels):
        shown = f'<dt title="{label}">{label.split(",")[0]}</dt>'
        assert f"{shown}<dd>{labels.count(label)}</dd>" in first
    assert "Figures of" not in text(tmp_path, "index-2.html")


def test_pages_lead_to_each_other(tmp_path, call, pages_of_two):
    run(tmp_path, plan("gradient"), noise(300))
    assert call("report", tmp_path, "--no-overlays").exit_code == 0
    middle = text(tmp_path, "index-70.html")
    for relation, address in (
        *(("first", "index.html"), ("prev", "index-69.html")),
        *(("next", "index-71.html"), ("last", "index-150.html")),
    ):
        assert middle.count(f'<a rel="{relation}" href="{address}">') == 2
    assert 'type="number" min="1" max="150" value="70"' in middle
    assert "files 139 to 140 of 300" in middle
    assert len(re.findall("href=", middle)) == 8


def test_a_large_run_is_read_in_parts(tmp_path, call, monkeypatch):
    """Each map once, a few at a time; rows by shards or by columns; a page at once."""
    count = 1000
    run(tmp_path, plan("gradient", tile_size=64), noise(count))
    read, tables, held = [], [], []
    maps_of, rows_of, write = Maps.__getitem__, Run.rows, Gallery._write

    def get(self, index):
        read.append(index)
        return maps_of(self, index)

    def get_rows(self, *, columns=None, shards=None):
        tables.append((columns, shards))
        return rows_of(self, columns=columns, shards=shards)

    def write_page(self, head):
        held.append(len(self._entries))
        return write(self, head)

    monkeypatch.setattr(Maps, "__getitem__", get)
    monkeypatch.setattr(Run, "rows", get_rows)
    monkeypatch.setattr(Gallery, "_write", write_page)
    result = call("report", tmp_path, "--no-overlays")
    assert result.exit_code == 0, result.output
    seen = np.concatenate([np.arange(count)[part] for part in read])
    np.testing.assert_array_equal(seen, np.arange(count))
    assert max(part.stop - part.start for part in read) <= _parts.STEP
    whole = [shards for columns, shards in tables if columns is None]
    assert all(len(shards) == 1 for shards in whole)
    assert len(whole) <= 9
    assert all(shards is not None for _, shards in tables)
    assert held == [100] * 10
    assert len(list(tmp_path.glob("index*.html"))) == 10
    assert len(rows(tmp_path)) == count


def test_labels_are_no_formulas(tmp_path, call):
    records = [{"image": np.zeros((4, 4, 3), np.uint8), "label": "=1+1", "name": "+a"}]
    from xattr.data import GrainSource

    run(tmp_path, plan("gradient"), GrainSource(records))
    assert call("report", tmp_path, "--table", "csv").exit_code in (0, 1)
    (row,) = rows(tmp_path)
    assert (row["file"], row["label"]) == ("./+a", "'=1+1")
    assert call("report", tmp_path, "--table", "parquet").exit_code in (0, 1)
    assert not (tmp_path / "predictions.csv").exists()


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_maps_kept_small_come_out_as_numbers(tmp_path, call, dtype):
    run(tmp_path, plan("gradient", maps_dtype=dtype), noise(3))
    assert call("report", tmp_path, "--arrays").exit_code == 0
    saved = np.load(tmp_path / "arrays" / "gradient" / "1-0001.npy")
    assert saved.dtype == np.float32
    np.testing.assert_array_equal(saved, open_run(tmp_path).maps["gradient"][1])


def test_a_run_from_python_says_where_its_photographs_could_be_told(tmp_path, call):
    run(tmp_path, plan("gradient"), noise(3))
    result = call("report", tmp_path)
    assert "Drawn on gray: 3 photographs" in result.stderr
    assert "the run does not tell where it was" in text(tmp_path)


@pytest.mark.parametrize("name", ["maps.zarr/grad_cam/c/0/0/0", "rows/part-00000.pa*"])
def test_a_damaged_store_is_told_in_a_sentence(done, call, name):
    (damaged,) = done.glob(name)
    damaged.write_bytes(damaged.read_bytes()[:40])
    result = call("report", done)
    assert result.exit_code == 3
    assert f"The report in {done} failed" in result.stderr
    assert not (done / "report.json").exists() or "rows" in name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{there}/missing"], "There is no folder"),
        (["{there}/photos"], "holds no run: it has no run.json"),
        (["gs://bucket/run"], "is no folder of this machine: give `--out FOLDER`"),
        (["{there}/out", "--out", "{there}/photos"], "neither a run nor a report"),
        (["{there}/out", "--out", "{there}/photos/a/x.png"], "is a file"),
    ],
)
def test_wrong_calls_write_nothing(done, call, photos, tmp_path, arguments, message):
    before = files(tmp_path)
    result = call("report", *(word.format(there=tmp_path) for word in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert files(tmp_path) == before
