import csv
import errno
import os
import re
import signal
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import xattr
from tests.cli.conftest import CLASSES, METHODS, network
from xattr.cli._gallery import Gallery
from xattr.data import read_image
from xattr.run import Computation, Place, _execute, open_run

NAMES = ["0-x", "1-y", "2-X", "3-x", "4-ü_b"]


def rows(out):
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tree(folder):
    """The files of a report; the store's are not for looking at."""
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(n for n in names if not n.startswith(("maps.zarr/", "rows/")))


def inputs(tiny, folder):
    """The photographs as the model takes them, in the order of the run."""
    files = sorted(folder.rglob("*.png"), key=lambda path: path.parts)
    names = [file.relative_to(folder).as_posix() for file in files]
    return names, np.stack([tiny.preprocess(read_image(file)) for file in files])


def test_everything_is_written(tiny, call, photos, tmp_path):
    result = call("explain", photos, "--batch-size", 2, "--arrays")
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    expected = ["index.html", "predictions.csv", "report.json", "run.json"]
    for name in NAMES:
        for method in METHODS.split(","):
            expected += [f"arrays/{method}/{name}.npy", f"overlays/{method}/{name}.png"]
    assert tree(out) == sorted(expected)
    assert f"Page:  {out}/index.html" in result.stdout
    with Image.open(out / "overlays/gradient/1-y.png") as picture:
        assert picture.size == (16, 16)
    assert open_run(out).methods == tuple(METHODS.split(","))
    for place, name in enumerate(NAMES):
        np.testing.assert_array_equal(
            np.load(out / "arrays" / "gradient" / f"{name}.npy"),
            open_run(out).maps["gradient"][place],
        )


def test_arrays_are_written_only_if_wanted(tiny, call, photos, tmp_path):
    assert call("explain", photos).exit_code == 0
    assert not (tmp_path / "out" / "arrays").exists()


def test_maps_are_the_methods_own(tiny, call, photos, tmp_path):
    """Padded batches of two give what one batch of five gives."""
    assert call("explain", photos, "--batch-size", 2).exit_code == 0
    files, images = inputs(tiny, photos)
    logits = tiny.model(jnp.asarray(images))
    probabilities, targets = jax.nn.softmax(logits), logits.argmax(-1)
    grid = xattr.grad_cam(tiny.model, jnp.asarray(images), targets, site="relu:1")
    pixels = xattr.gradient(tiny.model, jnp.asarray(images), targets)
    found = open_run(tmp_path / "out")
    np.testing.assert_allclose(found.maps["grad_cam"][:], grid, atol=1e-5)
    np.testing.assert_allclose(found.maps["gradient"][:], pixels, atol=1e-5)
    listed = rows(tmp_path / "out")
    assert [row["file"] for row in listed] == files
    assert [row["name"] for row in listed] == NAMES
    for place, row in enumerate(listed):
        assert int(row["target"]) == int(row["prediction"]) == targets[place]
        assert float(row["probability"]) == pytest.approx(
            float(probabilities[place].max()), rel=1e-4
        )
        assert row["prediction_label"] == CLASSES[int(targets[place])]
        assert row["status"] == "ok"


def test_the_batch_size_changes_nothing(tiny, call, photos, tmp_path):
    """Random methods draw by file, not by place in the batch."""
    for size in (1, 4):
        folder = tmp_path / str(size)
        assert call("explain", photos, "--batch-size", size, out=folder).exit_code == 0
    one, many = open_run(tmp_path / "1"), open_run(tmp_path / "4")
    assert (one.settings["tile_size"], many.settings["tile_size"]) == (1, 4)
    for name in one.methods:
        np.testing.assert_allclose(
            one.maps[name][:], many.maps[name][:], rtol=1e-4, atol=1e-5
        )


def test_batches_are_no_larger_than_needed(tiny, call, photos, tmp_path):
    assert call("explain", photos / "b", "--method", "gradient").exit_code == 0
    assert open_run(tmp_path / "out").settings["tile_size"] == 4


@pytest.mark.parametrize(("text", "index"), [("2", 2), ("EGYPT", 1)])
def test_a_chosen_target_is_explained(tiny, call, photos, tmp_path, text, index):
    assert call("explain", photos, "--target", text).exit_code == 0
    _, images = inputs(tiny, photos)
    probabilities = jax.nn.softmax(tiny.model(jnp.asarray(images)))[:, index]
    for row, probability in zip(rows(tmp_path / "out"), probabilities, strict=True):
        assert (row["target"], row["target_label"]) == (str(index), CLASSES[index])
        assert float(row["target_probability"]) == pytest.approx(
            float(probability), rel=1e-4
        )


def test_parquet_holds_the_same_rows(tiny, call, photos, tmp_path):
    from pyarrow import parquet

    (photos / "empty.png").touch()
    assert call("explain", photos).exit_code == 1
    assert call("explain", photos, "--table", "parquet", out=tmp_path / "p").exit_code
    assert not (tmp_path / "p" / "predictions.csv").exists()
    table = parquet.read_table(tmp_path / "p" / "predictions.parquet")
    assert str(table.schema.field("target").type) == "int32"
    for typed, plain in zip(table.to_pylist(), rows(tmp_path / "out"), strict=True):
        assert typed["file"] == plain["file"]
        assert (typed["target"] is None) == (plain["target"] == "")
        assert str(typed["prediction_label"] or "") == plain["prediction_label"]


def test_skipped_files_are_listed_and_cost_nothing_else(tiny, call, photos, tmp_path):
    (photos / "a" / "empty.png").touch()
    (photos / "a" / "text.jpg").write_text("Dear reader")
    evil = photos / "<script>alert(1)</script>.png".replace("/", "∕")
    evil.write_bytes(b"\x89PNG\r\n\x1a\n")
    missing = tmp_path / "missing.png"
    result = call("explain", photos, missing, "--batch-size", 2)
    assert result.exit_code == 1
    for line in (
        "photos/a/empty.png: the file is empty",
        f"{missing}: there is no such",
    ):
        assert f"Skipped: {line}" in result.stderr
    listed = rows(tmp_path / "out")
    skipped = [row for row in listed if row["status"] == "skipped"]
    assert len(listed) == 9
    assert len(skipped) == 4
    assert all(row["reason"] and not row["target"] for row in skipped)
    assert len(list((tmp_path / "out" / "overlays" / "gradient").iterdir())) == 5
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "4 skipped files" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_file_names_are_no_markup_of_the_terminal(tiny, call, photos):
    (photos / "[red]\x1b[31m.png").touch()
    (photos / "photo:cat:.png").touch()
    result = call("explain", photos)
    assert "photo:cat:.png: the file is empty" in result.stderr
    assert r"[red]\x1b[31m.png: the file is empty" in result.stderr
    assert "\x1b" not in result.output


def test_only_unreadable_files_still_give_a_table(tiny, call, tmp_path):
    (tmp_path / "x.png").touch()
    result = call("explain", tmp_path / "x.png")
    assert result.exit_code == 1
    assert [row["status"] for row in rows(tmp_path / "out")] == ["skipped"]
    assert "No photograph could be explained" in (
        tmp_path / "out" / "index.html"
    ).read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "grad_cma"], "'grad_cma' is not a method. Nearest: grad_cam"),
        (["--method", ","], "names no method"),
        (["--target", "toaster"], "'toaster' is not a class of this model. Give"),
        (["--target", "7"], "7 is no class of this model: give 0 to 4"),
        (["--target", "crane"], "fits 2 classes"),
        (["--site", "relu:9"], "relu:1"),
        (["--site", "relu:1", "--method", "gradient"], "reads a site"),
        (["--batch-size", "0"], "no power of two up to 256: `--batch-size 1`"),
        (["--batch-size", "6"], "no power of two up to 256: `--batch-size 4`"),
        (["--batch-size", "512"], "no power of two up to 256: `--batch-size 256`"),
        (["--target", "label"], "'label' is not a class"),
        (["--seed", "-1"], "greater than or equal to 0"),
        (["--seed", "4294967296"], "less than or equal to 4294967295"),
        (["--table", "xlsx"], "xlsx"),
    ],
)
def test_wrong_calls_write_nothing(tiny, call, photos, tmp_path, arguments, message):
    result = call("explain", photos, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("site", "method", "message"),
    [
        ("relu:9", "grad_cam", "`python -m xattr sites --model mobilenet_v2`.\n"),
        ("reduce_sum", "gradient,layer_cam", "reduce_sum"),
        ("relu:0", "grad_cam,cam", "`--method grad_cam`.\n"),
    ],
)
def test_a_wrong_site_is_found_before_anything_runs(
    tiny, call, photos, tmp_path, monkeypatch, site, method, message
):
    """A site that there is not, has no places, or has more layers after it."""

    def explode(*_, **__):
        raise AssertionError("computed")

    monkeypatch.setattr("xattr.run.execute", explode)
    result = call("explain", photos, "--site", site, "--method", method)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "mobilenet"], "Nearest: mobilenet"),
        (["--model", "resnet50"], "weights"),
        (["--weights", "no/such.safetensors"], "no/such.safetensors"),
    ],
)
def test_models_that_cannot_be_loaded(call, photos, tmp_path, arguments, message):
    result = call("explain", photos, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_places_of_two_kinds(tiny, call, photos, tmp_path):
    result = call("explain", photos, "tfds:mnist/train")
    assert result.exit_code == 2
    assert "`PATHS` mixes TFDS and files" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["missing", "missing*.png", "empty"])
def test_nothing_to_explain(tiny, call, tmp_path, place):
    (tmp_path / "empty").mkdir()
    result = call("explain", tmp_path / place)
    assert result.exit_code == 2
    assert "`PATHS` holds no image file" in result.stderr
    assert not (tmp_path / "out").exists()


def test_unwritable_folder_is_found_before_computing(
    tiny, call, photos, tmp_path, monkeypatch
):
    def explode(*_, **__):
        raise AssertionError("computed")

    monkeypatch.setattr("xattr.run.execute", explode)
    (tmp_path / "file").touch()
    result = call("explain", photos, out=tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "cannot be written to" in result.stderr


def test_results_are_not_overwritten_unasked(tiny, call, photos, tmp_path):
    assert call("explain", photos).exit_code == 0
    before = {
        name: (tmp_path / "out" / name).stat().st_mtime_ns
        for name in tree(tmp_path / "out")
    }
    result = call("explain", photos)
    assert result.exit_code == 2
    assert "`--overwrite`" in result.stderr
    assert before == {
        name: (tmp_path / "out" / name).stat().st_mtime_ns
        for name in tree(tmp_path / "out")
    }
    again = call("explain", photos / "a", "--overwrite", "--method", "gradient")
    assert again.exit_code == 0
    assert tree(tmp_path / "out") == [
        *("index.html", "overlays/gradient/0-x.png", "overlays/gradient/1-y.png"),
        *("predictions.csv", "report.json", "run.json"),
    ]
    assert open_run(tmp_path / "out").methods == ("gradient",)
    assert not (tmp_path / "out" / "maps.zarr" / "grad_cam").exists()


@pytest.mark.parametrize(
    ("factor", "state", "code"), [(jnp.nan, "not finite", 1), (0.0, "all zero", 0)]
)
def test_maps_that_cannot_be_drawn_are_reported(
    tiny, call, photos, tmp_path, factor, state, code
):
    good = tiny.model

    def spoil(params, images):
        bad = images[:, :1, :1, :1].mean((1, 2)) > 0.5
        return good.apply(params, images) * jnp.where(bad, factor, 1.0)

    tiny.model = xattr.from_function(spoil, good.params)
    result = call("explain", photos, "--method", "gradient,grad_cam", "--target", "1")
    assert result.exit_code == code
    _, images = inputs(tiny, photos)
    bad = images[:, 0, 0, 0] > 0.5
    assert 0 < bad.sum() < 5
    for row, is_bad in zip(rows(tmp_path / "out"), bad, strict=True):
        wrong = f"gradient: {state}; grad_cam: {state}"
        assert row["status"] == (wrong if is_bad else "ok")
        drawn = tmp_path / "out" / "overlays" / "gradient" / f"{row['name']}.png"
        assert drawn.exists() != is_bad
    assert result.stderr.count(f"gradient is {state}") == bad.sum()
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert page.count(f"the map is {state}") == 2 * bad.sum()


def count_computed(monkeypatch):
    """Numbers of the tiles that are staged."""
    from xattr.run._store import Store

    original, seen = Store.stage, []

    def stage(self, tile, results):
        seen.append(tile)
        original(self, tile, results)

    monkeypatch.setattr(Store, "stage", stage)
    return seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on(tiny, call, photos, tmp_path, monkeypatch, number):
    from xattr.run._store import Store

    original = Store.stage

    def stage(self, tile, results):
        original(self, tile, results)
        if tile == 0:
            os.kill(os.getpid(), number)
            time.sleep(0.05)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "stage", stage)
        result = call("explain", photos, "--batch-size", 1)
    assert result.exit_code == 130
    assert re.search("interrupted after [0-4] of 5 files", result.stderr)
    assert "The same call goes on" in result.stderr
    after = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert after == before
    out = tmp_path / "out"
    assert not [t for t in threading.enumerate() if t.name.startswith("xattr-read")]
    num_kept = open_run(out).num_staged
    assert 0 < num_kept < 5
    computed = count_computed(monkeypatch)
    assert call("explain", photos, "--batch-size", 1).exit_code == 0
    assert len(computed) == 5 - num_kept
    assert len(rows(out)) == 5


def test_an_interruption_of_the_last_batch_is_heeded(tiny, call, photos, monkeypatch):
    original = _execute.begin

    def begin(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(_execute, "begin", begin)
        result = call("explain", photos)
    assert result.exit_code == 130
    assert "Ending after what is begun; once more ends at once." in result.stderr
    assert "The run was interrupted after 5 of 5 files." in result.stderr
    computed = count_computed(monkeypatch)
    assert call("explain", photos).exit_code == 0
    assert computed == []


def test_another_run_is_not_gone_on_with(tiny, call, photos, tmp_path):
    assert call("explain", photos).exit_code == 0
    (tmp_path / "out" / "report.json").unlink()
    result = call("explain", photos, "--seed", 1)
    assert result.exit_code == 2
    assert "seed: 0 there, 1 here" in result.stderr
    assert call("explain", photos).exit_code == 0


def test_a_run_that_another_process_writes_is_left_alone(tiny, call, photos, tmp_path):
    from xattr.run._lock import Lock

    assert call("explain", photos).exit_code == 0
    before = tree(tmp_path / "out")
    with Lock(Place(tmp_path / "out")):
        result = call("explain", photos, "--overwrite")
    assert result.exit_code == 2
    assert "is being written by process" in result.stderr
    assert tree(tmp_path / "out") == before


def test_a_report_that_is_interrupted_keeps_what_is_drawn(
    tiny, call, photos, tmp_path, monkeypatch
):
    import xattr.cli._drawing as drawing

    original, seen = drawing._entry, []

    def entry(*arguments):
        if not seen:
            seen.append(os.kill(os.getpid(), signal.SIGTERM))
            time.sleep(0.05)
        return original(*arguments)

    monkeypatch.setattr(drawing, "_entry", entry)
    result = call("explain", photos)
    assert result.exit_code == 130
    assert "The report was interrupted" in result.stderr
    out = tmp_path / "out"
    assert "interrupted after 0 of 5 files" in (out / "index.html").read_text("utf-8")
    assert len(rows(out)) == 5
    assert not [name for name in tree(out) if ".part-" in name]
    assert call("explain", photos).exit_code == 0
    assert (out / "index.html").read_text("utf-8").count("<article") == 5


def test_a_run_that_breaks_off_goes_on(tiny, call, photos, tmp_path, monkeypatch):
    original, seen = _execute.begin, []

    def begin(*arguments):
        seen.append(1)
        if len(seen) == 3:
            raise RuntimeError("no such luck")
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(_execute, "begin", begin)
        with pytest.raises(RuntimeError, match="no such luck"):
            call("explain", photos, "--batch-size", 1)
    computed = count_computed(monkeypatch)
    assert call("explain", photos, "--batch-size", 1).exit_code == 0
    assert computed == [4]
    assert len(rows(tmp_path / "out")) == 5


def test_a_method_that_fails_is_told(tiny, call, photos, tmp_path, monkeypatch):
    def explain(*_):
        raise RuntimeError("no such luck")

    for name in ("compute", "explain", "explain_alone"):
        monkeypatch.setattr(Computation, name, explain)
    result = call("explain", photos, "--method", "gradient")
    assert result.exit_code == 1
    assert "gradient failed on a batch, and is tried in parts: no such" in result.stderr
    told = "Not drawn: a/x.png: gradient failed (gradient: RuntimeError: no such luck)"
    assert told in result.stderr
    assert [row["status"] for row in rows(tmp_path / "out")] == ["gradient: failed"] * 5
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert page.count("The method failed: gradient: RuntimeError: no such luck") == 5


def test_many_photographs_make_several_pages(tiny, call, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Gallery.__init__, "__kwdefaults__", {"page_size": 2})
    assert call("explain", photos, "--batch-size", 1).exit_code == 0
    out = tmp_path / "out"
    pages = [out / name for name in ("index.html", "index-2.html", "index-3.html")]
    texts = [page.read_text("utf-8") for page in pages]
    assert not (out / "index-4.html").exists()
    assert [text.count("<article") for text in texts] == [2, 2, 1]
    assert "files 3 to 4 of 5" in texts[1]
    links = [re.findall(r'rel="(?:prev|next)" href="([^"]+)"', text) for text in texts]
    assert [link[: len(link) // 2] for link in links] == [
        *(["index-2.html"], ["index.html", "index-3.html"], ["index-2.html"])
    ]
    ends = [re.findall(r'rel="(?:first|last)" href="([^"]+)"', text) for text in texts]
    assert set(ends[1]) == {"index.html", "index-3.html"}
    assert [text.count("Figures of all 5 files") for text in texts] == [1, 0, 0]


def count_traces(tiny, call, place, out):
    """How often the model is traced in a run of batches of two."""
    traces, good = [], network().model

    def apply(params, images):
        traces.append(images.shape)
        return good.apply(params, images)

    tiny.model = xattr.from_function(apply, good.params)
    arguments = ("--batch-size", 2, "--method", "gradient")
    assert call("explain", place, *arguments, out=out).exit_code == 0
    return len(traces)


def test_one_program_serves_every_batch(tiny, call, photos, tmp_path):
    one = count_traces(tiny, call, photos / "a", tmp_path / "1")
    three = count_traces(tiny, call, photos, tmp_path / "3")
    assert one == three


def test_progress_is_lines_where_nobody_looks_on(tiny, call, photos):
    result = call("explain", photos, "--batch-size", 2)
    told = [line for line in result.stderr.splitlines() if "files" in line]
    assert told[0] == "0 of 5 files"
    assert re.match("5 of 5 files, [0-9.]+ per second, devices [0-9]+% busy", told[-2])
    assert told[-1] == "5 of 5 files"


def test_a_second_run_does_not_explain_the_first(tiny, call, photos):
    for _ in range(2):
        out = photos / "out"
        assert call("explain", photos, "--overwrite", out=out).exit_code == 0
        assert len(rows(out)) == 5


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_in_a_sentence(tiny, call, photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        original = Place.write

        def write(self, name, value):
            full_disk() if "staged/00000/00000004" in name else None
            original(self, name, value)

        patched.setattr(Place, "write", write)
        result = call("explain", photos, "--batch-size", 1)
    assert result.exit_code == 3
    assert f"Writing to {out} failed (No space left on device) after" in result.stderr
    assert call("explain", photos, "--batch-size", 1).exit_code == 0
    assert len(rows(out)) == 5


@pytest.mark.parametrize("module", ["_gallery", "_table", "_drawing"])
def test_a_full_disk_is_told_of_a_report_too(
    tiny, call, photos, tmp_path, monkeypatch, module
):
    monkeypatch.setattr(f"xattr.cli.{module}.write_whole", full_disk)
    result = call("explain", photos)
    assert result.exit_code == 3
    out = tmp_path / "out"
    assert f"The report in {out} failed (No space left on device)." in result.stderr
    assert not (out / "report.json").exists()


@pytest.mark.parametrize(("size", "advice"), [(2, "`--batch-size 1`"), (1, "fewer")])
def test_too_little_memory_is_told_in_a_sentence(
    tiny, call, photos, monkeypatch, size, advice
):
    def begin(*_):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes")

    monkeypatch.setattr(_execute, "begin", begin)
    result = call("explain", photos, "--batch-size", size)
    assert result.exit_code == 3
    assert f"too small for a batch of {size} (try {advice}" in result.stderr


def test_a_method_without_its_dependency(tiny, call, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setattr("xattr.run.execute", None)
    result = call("explain", photos, "--method", "gradient,xrai")
    assert result.exit_code == 2
    assert "`--method xrai` needs scikit-image: `pip install" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [ImportError, TypeError, ValueError])
def test_a_method_that_cannot_be(tiny, call, photos, tmp_path, monkeypatch, kind):
    def explain(*_):
        raise kind("this cannot be")

    monkeypatch.setattr("xattr.run._tile.explain", explain)
    monkeypatch.setattr("xattr.run.Computation", Computation)
    result = call("explain", photos)
    assert result.exit_code == 2
    assert "Error: this cannot be" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_largest_seed(tiny, call, photos):
    arguments = ("--seed", 2**32 - 1, "--method", "smoothgrad")
    assert call("explain", photos, *arguments).exit_code == 0


def test_no_cell_is_a_formula(tiny, call, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos / "a")
    os.rename("x.png", "=SUM(A1).png")
    assert call("explain", "=SUM(A1).png", "y.png").exit_code == 0
    listed = [row["file"] for row in rows(tmp_path / "out")]
    assert listed == ["./=SUM(A1).png", "y.png"]
    names = [row["name"] for row in rows(tmp_path / "out")]
    assert names == ["0-SUM_A1", "1-y"]


def test_an_empty_path_is_not_this_folder(tiny, call, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    result = call("explain", "")
    assert result.exit_code == 2
    assert "`PATHS` has an empty path" in result.stderr
    assert not (tmp_path / "out").exists()
