"""The commands about explanatory graphs, on a small network and made-up birds."""

import csv
import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from xattr.cli import _graph_fitting
from xattr.cli._graph_evaluating import plain_peaks
from xattr.graph import Features

SIDE = 16


@pytest.fixture
def birds(tmp_path):
    """Twelve pictures of a bright square that is somewhere else in each."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "birds"
    folder.mkdir()
    rows = []
    for number in range(12):
        image = rng.integers(0, 40, (SIDE, SIDE, 3), dtype=np.uint8)
        row, column = rng.integers(2, 10, 2)
        image[row : row + 4, column : column + 4] = 250
        Image.fromarray(image).save(folder / f"{number:02}.png")
        rows.append([f"{number:02}.png", SIDE, SIDE, "square", column + 2, row + 2])
    with (tmp_path / "landmarks.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "width", "height", "part", "x", "y"])
        writer.writerows(rows)
    return folder


@pytest.fixture
def fit(call, tiny, photos, birds, tmp_path):
    del tiny

    def fit(*arguments, data=birds):
        where = ("--data", data, "--negatives", photos, "--out", tmp_path / "out")
        more = ("--sites", "relu:1", "--iterations", 2, "--batch-size", 5)
        return call("graph", "fit", *where, *more, *arguments)

    return fit


def test_a_graph_is_learnt_shown_and_measured(fit, call, birds, tmp_path):
    done = fit()
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    settings = json.loads((out / "graph.json").read_text())
    assert settings["sites"] == ["relu:1"]
    assert settings["photographs"] == 12
    shown = call("graph", "show", out)
    assert shown.exit_code == 0, shown.output
    page = (out / "index.html").read_text()
    assert "relu:1" in page
    for name in ("patches.png", "heat.png", "subgraph.png"):
        with Image.open(out / name) as picture:
            assert picture.size[0] > 100
    arguments = ("--data", birds, "--landmarks", tmp_path / "landmarks.csv")
    measured = call("graph", "evaluate", out, *arguments, "--draws", 3)
    assert measured.exit_code == 0, measured.output
    with (out / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["protocol"] for row in rows] == ["published", "stricter"]
    assert 0 < float(rows[0]["graph"].split()[0]) < 1
    assert 0 <= float(rows[0]["explained"]) <= 1


def test_a_killed_fit_goes_on_to_the_same_graph(fit, tmp_path, monkeypatch):
    assert fit().exit_code == 0
    with np.load(tmp_path / "out/layers/0.npz") as arrays:
        whole = dict(arrays)
    (tmp_path / "out").rename(tmp_path / "whole")
    with monkeypatch.context() as patch:

        def killed(*_args, **_kwargs):
            raise KeyboardInterrupt

        patch.setattr("xattr.graph.fit", killed)
        done = fit()
    assert done.exit_code == 130
    assert "goes on where this one ended" in done.output
    kept = tmp_path / "out/features/0.npz"
    before = kept.stat().st_mtime_ns
    assert fit().exit_code == 0
    assert kept.stat().st_mtime_ns == before
    with np.load(tmp_path / "out/layers/0.npz") as arrays:
        assert whole.keys() == set(arrays.files)
        for key in arrays.files:
            np.testing.assert_array_equal(whole[key], arrays[key])


def test_another_graph_is_not_mixed_in(fit):
    assert fit().exit_code == 0
    done = fit("--tau", "0.5")
    assert done.exit_code == 2
    assert "another tau: 0.1 there, 0.5 now" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sites", "nothing"), "nothing"),
        (("--sites", "dot:0"), "dot:0"),
        (("--iterations", "0"), "iterations"),
        (("--tau", "-1"), "`--tau` -1.0; it must be positive"),
        (("--parents", "601"), "`--parents` 601; they are chosen among"),
        (("--sites", "relu:1,relu:0", "--parents", "185"), "184 nodes"),
        (("--out", "/proc/out"), "/proc/out"),
        (("--model", "nowhere:at_all"), "nowhere"),
    ],
)
def test_a_wrong_call_writes_nothing(fit, tmp_path, arguments, message):
    done = fit(*arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "out").exists()


def test_one_negative_is_refused(fit, call, birds, tmp_path):
    where = (
        "--data",
        birds,
        "--negatives",
        birds / "00.png",
        "--out",
        tmp_path / "out",
    )
    done = call("graph", "fit", *where, "--sites", "relu:1")
    assert done.exit_code == 2
    assert "`--negatives` holds 1 photograph" in done.output
    assert not (tmp_path / "out").exists()


def test_other_negatives_are_another_graph(fit, call, photos, birds, tmp_path):
    assert fit().exit_code == 0
    moved = photos.rename(tmp_path / "others")
    where = ("--data", birds, "--negatives", moved, "--out", tmp_path / "out")
    done = call("graph", "fit", *where, "--sites", "relu:1", "--iterations", 2)
    assert done.exit_code == 2
    assert "another negative_data" in done.output


def test_raw_peaks_are_those_of_plain_activations():
    levels = np.array([[[[4], [2]]], [[[0], [3]]]], np.uint8)
    features = Features(jnp.asarray(levels), jnp.array([0.5]))
    found = plain_peaks(features, np.array([[[1.0], [3.0]]]))
    np.testing.assert_array_equal(found.positions[:, 0], [[0, 1], [0, 1]])
    np.testing.assert_array_equal(found.scores, [[3.0], [4.5]])


def test_too_few_photographs_are_refused(fit, photos, tmp_path):
    done = fit(data=photos)
    assert done.exit_code == 2
    assert f"at least {_graph_fitting.LEAST}" in done.output
    assert not (tmp_path / "out").exists()


def test_too_few_that_can_be_read_are_said(fit, birds):
    for number in range(4):
        (birds / f"{number:02}.png").write_text("no picture")
    done = fit()
    assert done.exit_code == 2
    assert "8 of 12 photographs could be read" in done.output


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("00.png,16,16,square,20,3", "outside of the photograph's 16 x 16"),
        ("00.png,16,16,square,a,3", "line 2"),
        ("00.png,0,0,square,0,0", "line 2: 0 x 0 pixels"),
        ("00.png,16,16,square,2,3", "names 1 of the 12 photographs"),
        ("other.png,16,16,square,2,3", "names none of the 12 photographs"),
    ],
)
def test_wrong_landmarks_are_refused(fit, call, birds, tmp_path, row, message):
    assert fit().exit_code == 0
    table = tmp_path / "wrong.csv"
    table.write_text("file,width,height,part,x,y\n" + row + "\n")
    arguments = ("--data", birds, "--landmarks", table)
    done = call("graph", "evaluate", tmp_path / "out", *arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_a_folder_without_a_graph_is_said(call, tmp_path):
    done = call("graph", "show", tmp_path)
    assert done.exit_code == 2
    assert "holds no graph" in done.output
