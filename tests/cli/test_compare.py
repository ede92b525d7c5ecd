"""The command `compare`, over a small network."""

import csv

import numpy as np
import pytest
from PIL import Image

METRICS = "deletion,gini,pointing_game,random_logit"


@pytest.fixture
def compare(tiny, call, photos, tmp_path):
    def compare(*arguments, methods="grad_cam,gradient"):
        where = ("--data", photos, "--out", tmp_path / "out")
        chosen = ("--methods", methods, "--metrics", METRICS)
        return call("compare", *where, *chosen, *arguments)

    return compare


def test_compare_writes_tables_figures_and_a_page(compare, photos, tmp_path):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file,width,height,x0,y0,x1,y1\na/x.png,24,20,4,4,12,12\n")
    done = compare("--boxes", boxes)
    assert done.exit_code == 0, done.output
    assert "passes in all" in done.output
    assert "ms a pass, this takes" in done.output
    assert "in all" in done.output
    out = tmp_path / "out"
    with (out / "results.csv").open() as file:
        rows = {(row["method"], row["metric"]): row for row in csv.DictReader(file)}
    assert len(rows) == 8
    assert rows["gradient", "deletion"]["count"] == "5"
    assert rows["gradient", "pointing_game"]["count"] == "1"
    low, mean, high = (
        float(rows["grad_cam", "gini"][k]) for k in ("low", "mean", "high")
    )
    assert low <= mean <= high
    with (out / "curves.csv").open() as file:
        curve = [
            float(row["mean"])
            for row in csv.DictReader(file)
            if (row["method"], row["metric"]) == ("gradient", "deletion")
        ]
    assert len(curve) == 17
    area = np.trapezoid(curve) / 16
    assert area == pytest.approx(float(rows["gradient", "deletion"]["mean"]), rel=1e-4)
    for name in ("curves.png", "agreement.png", "speed.png", "costs.csv"):
        assert (out / name).stat().st_size > 50
    page = (out / "index.html").read_text()
    assert "b/ü &amp; &lt;b&gt;.png" in page
    assert "num_steps=16" in page


def test_compare_without_boxes_says_why_a_column_is_empty(compare, tmp_path):
    assert compare().exit_code == 0
    page = (tmp_path / "out/index.html").read_text()
    assert "no boxes or masks were given" in page


def test_compare_goes_on_and_refuses_another_budget(compare, tmp_path):
    assert compare().exit_code == 0
    before = (tmp_path / "out/results.csv").read_bytes()
    assert compare().exit_code == 0
    assert (tmp_path / "out/results.csv").read_bytes() == before
    done = compare("--budget", "paper")
    assert done.exit_code == 2
    assert "16 there" in done.output


def test_a_report_that_cannot_be_written_is_said(compare, tmp_path, monkeypatch):
    from xattr.cli import _compared

    def full(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_compared, "write_whole", full)
        done = compare()
    assert done.exit_code == 3
    assert "Writing the report to" in done.output
    assert "No space left on device" in done.output
    assert compare().exit_code == 0


def test_compare_counts_and_ends(compare, tmp_path):
    done = compare("--only-cost")
    assert done.exit_code == 0
    assert "deletion" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metrics", "deletoin"), "is not a metric. Nearest: deletion"),
        (("--boxes", "none.csv"), "cannot be read"),
        (("--masks", "none"), "is no folder"),
        (("--set", "rise.num_masks=2"), "`options` are given for rise"),
        (("--metrics", "morf"), "The metric morf does not fit this network"),
    ],
)
def test_a_wrong_call_writes_nothing(compare, tmp_path, arguments, message):
    done = compare(*arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "out").exists()


def test_a_metric_of_boxes_says_that_masks_are_none(compare, tmp_path):
    (tmp_path / "masks/a").mkdir(parents=True)
    Image.new("L", (24, 20), 255).save(tmp_path / "masks/a/x.png")
    done = compare("--masks", tmp_path / "masks", "--metrics", "max_box_accuracy")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "out/index.html").read_text()
    assert "no boxes were given" in page
    assert "no boxes or masks were given" not in page


def test_foreign_files_stay_as_they_are(compare, tmp_path):
    page = tmp_path / "out/index.html"
    page.parent.mkdir()
    page.write_text("mine")
    done = compare()
    assert done.exit_code == 2
    assert "holds files that no comparison has written" in done.output
    assert page.read_text() == "mine"
    page.unlink()
    page.parent.rmdir()
    page.parent.write_text("a file")
    assert "is a file; give a folder" in compare().output


def test_photographs_that_cannot_be_read_are_named(compare, photos, tmp_path):
    (photos / "a/x.png").write_bytes(b"nonsense")
    done = compare(methods="gradient")
    assert done.exit_code == 1
    assert "Skipped: a/x.png: " in done.output
    with (tmp_path / "out/results.csv").open() as file:
        assert {row["count"] for row in csv.DictReader(file)} == {"0", "4"}


def test_all_metrics_are_asked_for_in_any_case(tiny, call, photos, tmp_path):
    where = ("--data", photos, "--out", tmp_path / "out", "--methods", "gradient")
    done = call("compare", *where, "--metrics", "All")
    assert "The metric morf does not fit" in done.output


def test_metrics_are_listed(call):
    done = call("metrics")
    assert "pointing_game\thigher\tboxes or masks" in done.output
