"""The command `compare`, over a small network."""

import csv

import pytest

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
    ],
)
def test_a_wrong_call_writes_nothing(compare, tmp_path, arguments, message):
    done = compare(*arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "out").exists()


def test_metrics_are_listed(call):
    done = call("metrics")
    assert "pointing_game\thigher\tboxes or masks" in done.output
