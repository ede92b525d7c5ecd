import csv
import errno
import json
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

NAMES = ["x", "y", "X-2", "x-3", "ü_b"]


def rows(out):
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tree(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    )


def inputs(tiny, folder):
    """The photographs as the model takes them, in the order of the run."""
    files = sorted(folder.rglob("*.png"), key=lambda path: path.parts)
    return files, np.stack([tiny.preprocess(read_image(file)) for file in files])


def test_everything_is_written(tiny, call, photos, tmp_path):
    result = call("explain", photos, "--batch-size", 2)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    expected = ["index.html", "predictions.csv", "run.json"]
    for name in NAMES:
        expected.append(f"maps/{name}.npz")
        expected += [f"overlays/{method}/{name}.png" for method in METHODS.split(",")]
    assert tree(out) == sorted(expected)
    assert f"Page:  {out}/index.html" in result.stdout
    with Image.open(out / "overlays/gradient/y.png") as picture:
        assert picture.size == (16, 16)
    assert json.loads((out / "run.json").read_text())["methods"] == METHODS.split(",")


def test_maps_are_the_methods_own(tiny, call, photos, tmp_path):
    """Padded batches of two give what one batch of five gives."""
    assert call("explain", photos, "--batch-size", 2).exit_code == 0
    files, images = inputs(tiny, photos)
    logits = tiny.model(jnp.asarray(images))
    probabilities, targets = jax.nn.softmax(logits), logits.argmax(-1)
    grid = xattr.grad_cam(tiny.model, jnp.asarray(images), targets, site="relu:1")
    pixels = xattr.gradient(tiny.model, jnp.asarray(images), targets)
    listed = rows(tmp_path / "out")
    assert [row["file"] for row in listed] == [str(file) for file in files]
    for place, row in enumerate(listed):
        with np.load(tmp_path / "out" / "maps" / f"{row['name']}.npz") as maps:
            np.testing.assert_allclose(maps["grad_cam"], grid[place], atol=1e-5)
            np.testing.assert_allclose(maps["gradient"], pixels[place], atol=1e-5)
            assert int(maps["target"]) == int(maps["predicted"]) == targets[place]
            np.testing.assert_allclose(
                maps["probability"], probabilities[place].max(), rtol=1e-4
            )
        assert int(row["target"]) == targets[place]
        assert row["label_1"] == CLASSES[int(targets[place])]
        assert row["status"] == "ok"


def test_the_batch_size_changes_nothing(tiny, call, photos, tmp_path):
    """Random methods draw by file, not by place in the batch."""
    for size in (1, 3):
        folder = tmp_path / str(size)
        assert call("explain", photos, "--batch-size", size, out=folder).exit_code == 0
    for path in (tmp_path / "1" / "maps").iterdir():
        with np.load(path) as one, np.load(tmp_path / "3" / "maps" / path.name) as many:
            assert set(one) == set(many)
            for key in one:
                np.testing.assert_allclose(one[key], many[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("text", "index"), [("2", 2), ("EGYPT", 1)])
def test_a_chosen_target_is_explained(tiny, call, photos, tmp_path, text, index):
    assert call("explain", photos, "--target", text).exit_code == 0
    for row in rows(tmp_path / "out"):
        assert (row["target"], row["target_label"]) == (str(index), CLASSES[index])
        with np.load(tmp_path / "out" / "maps" / f"{row['name']}.npz") as maps:
            assert int(maps["target"]) == index
            assert float(maps["target_probability"]) == pytest.approx(
                float(row["target_probability"])
            )


def test_parquet_holds_the_same_rows(tiny, call, photos, tmp_path):
    from pyarrow import parquet

    (photos / "empty.png").touch()
    assert call("explain", photos).exit_code == 1
    assert call("explain", photos, "--table", "parquet", out=tmp_path / "p").exit_code
    assert not (tmp_path / "p" / "predictions.csv").exists()
    table = parquet.read_table(tmp_path / "p" / "predictions.parquet")
    assert str(table.schema.field("target").type) == "int64"
    for typed, plain in zip(table.to_pylist(), rows(tmp_path / "out"), strict=True):
        assert typed["file"] == plain["file"]
        assert (typed["target"] is None) == (plain["target"] == "")
        assert str(typed["label_1"] or "") == plain["label_1"]


def test_skipped_files_are_listed_and_cost_nothing_else(tiny, call, photos, tmp_path):
    (photos / "a" / "empty.png").touch()
    (photos / "a" / "text.jpg").write_text("Dear reader")
    evil = photos / "<script>alert(1)</script>.png".replace("/", "∕")
    evil.write_bytes(b"\x89PNG\r\n\x1a\n")
    missing = tmp_path / "missing.png"
    result = call("explain", photos, missing, "--batch-size", 2)
    assert result.exit_code == 1
    for line in ("empty.png: the file is empty", "missing.png: there is no such"):
        assert f"Skipped: {tmp_path}" in result.stderr
        assert line in result.stderr
    listed = rows(tmp_path / "out")
    skipped = [row for row in listed if row["status"] == "skipped"]
    assert len(listed) == 9
    assert len(skipped) == 4
    assert all(row["reason"] and not row["target"] for row in skipped)
    assert len(list((tmp_path / "out" / "maps").iterdir())) == 5
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
        (["--batch-size", "0"], "greater than or equal to 1"),
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

    monkeypatch.setattr("xattr.cli._running.explain_files", explode)
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

    monkeypatch.setattr("xattr.cli._running.explain_files", explode)
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
        *("index.html", "maps/x.npz", "maps/y.npz", "overlays/gradient/x.png"),
        *("overlays/gradient/y.png", "predictions.csv", "run.json"),
    ]


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
        assert (tmp_path / "out" / "maps" / f"{row['name']}.npz").exists()
    assert result.stderr.count(f"gradient is {state}") == bad.sum()
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert page.count(f"the map is {state}") == 2 * bad.sum()


def interrupt_after(monkeypatch, count):
    """Interrupt the run when a number of maps have been written."""
    import xattr.cli._writing as writing

    original, seen = writing.write_whole, []

    def write(path, *arguments):
        original(path, *arguments)
        if path.suffix == ".npz":
            seen.append(path)
            if len(seen) == count:
                raise KeyboardInterrupt

    monkeypatch.setattr(writing, "write_whole", write)


def test_an_interrupted_run_keeps_what_is_done(
    tiny, call, photos, tmp_path, monkeypatch
):
    interrupt_after(monkeypatch, 3)
    result = call("explain", photos, "--batch-size", 1)
    assert result.exit_code == 130
    assert "interrupted after 2 of 5 files" in result.stderr
    out = tmp_path / "out"
    assert len(rows(out)) == 2
    assert len(list((out / "maps").iterdir())) == 3
    page = (out / "index.html").read_text("utf-8")
    assert "interrupted after 2 of 5 files" in page
    assert page.count("<article") == 2
    assert not [name for name in tree(out) if ".part-" in name]
    assert not [t for t in threading.enumerate() if t.name.startswith("xattr-read")]


def test_a_request_to_terminate_is_an_interruption(
    tiny, call, photos, tmp_path, monkeypatch
):
    import xattr.cli._writing as writing

    original, seen = writing.embed, []

    def embed(*arguments):
        if not seen:
            seen.append(os.kill(os.getpid(), signal.SIGTERM))
            time.sleep(0.05)
        return original(*arguments)

    monkeypatch.setattr(writing, "embed", embed)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    result = call("explain", photos)
    assert result.exit_code == 130
    assert "interrupted after 1 of 5 files" in result.stderr
    after = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert after == before
    assert len(rows(tmp_path / "out")) == 1
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "files 1 to 1 of 5" in page


def test_a_run_that_breaks_off_keeps_what_is_done(
    tiny, call, photos, tmp_path, monkeypatch
):
    import xattr.cli._explaining as explaining

    original, seen = explaining._explain, []

    def explain(*arguments):
        seen.append(1)
        if len(seen) == 3:
            raise RuntimeError("no such luck")
        return original(*arguments)

    monkeypatch.setattr(explaining, "_explain", explain)
    with pytest.raises(RuntimeError, match="no such luck"):
        call("explain", photos, "--batch-size", 1)
    assert len(rows(tmp_path / "out")) == 2
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "broke off after 2 of 5 files" in page


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
    assert links == [["index-2.html"], ["index.html", "index-3.html"], ["index-2.html"]]


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
    assert [line for line in result.stderr.splitlines() if "files" in line] == [
        *("2 of 5 files", "4 of 5 files", "5 of 5 files")
    ]


def test_a_second_run_does_not_explain_the_first(tiny, call, photos):
    for _ in range(2):
        out = photos / "out"
        assert call("explain", photos, "--overwrite", out=out).exit_code == 0
        assert len(rows(out)) == 5


@pytest.mark.parametrize("suffix", [".npz", ".html"])
def test_a_full_disk_is_told_in_a_sentence(
    tiny, call, photos, tmp_path, monkeypatch, suffix
):
    import xattr.cli._gallery as gallery
    import xattr.cli._writing as writing

    original, closed = writing.write_whole, []

    def write(path, *arguments):
        if path.suffix == suffix and (suffix == ".html" or path.stem == "y"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(path, *arguments)

    close = writing.Table.close
    for module in (writing, gallery):
        monkeypatch.setattr(module, "write_whole", write)
    monkeypatch.setattr(
        writing.Table, "close", lambda self: closed.append(1) or close(self)
    )
    result = call("explain", photos)
    assert result.exit_code == 3
    done = 1 if suffix == ".npz" else 5
    assert (
        f"Writing to {tmp_path / 'out'} failed (No space left on device) "
        f"after {done} of 5 files." in result.stderr
    )
    assert len(rows(tmp_path / "out")) == done
    assert closed == [1]


@pytest.mark.parametrize(("size", "advice"), [(2, "`--batch-size 1`"), (1, "fewer")])
def test_too_little_memory_is_told_in_a_sentence(
    tiny, call, photos, monkeypatch, size, advice
):
    def explain(*_):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 7 bytes")

    monkeypatch.setattr("xattr.cli._explaining._explain", explain)
    result = call("explain", photos, "--batch-size", size)
    assert result.exit_code == 3
    assert f"too small for a batch of {size}: try {advice}" in result.stderr


def test_a_method_without_its_dependency(tiny, call, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setattr("xattr.cli._explaining._explain", None)
    result = call("explain", photos, "--method", "gradient,xrai")
    assert result.exit_code == 2
    assert "`--method xrai` needs scikit-image: `pip install" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [ImportError, OverflowError])
def test_a_first_batch_that_cannot_be(tiny, call, photos, tmp_path, monkeypatch, kind):
    def explain(*_):
        raise kind("this cannot be")

    monkeypatch.setattr("xattr.cli._explaining._explain", explain)
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


def test_an_empty_path_is_not_this_folder(tiny, call, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    result = call("explain", "")
    assert result.exit_code == 2
    assert "`PATHS` has an empty path" in result.stderr
    assert not (tmp_path / "out").exists()
