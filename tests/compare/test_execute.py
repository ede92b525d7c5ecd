"""Maps and scores of a small network over records that cost nothing to read."""

from pathlib import Path

import jax
import numpy as np
import pytest

from tests.run.conftest import Noise, digests, noise, plan
from xattr.compare import (
    AGREEMENT,
    BUDGETS,
    METRICS,
    Annotations,
    Comparison,
    Scoring,
    maps_place,
    open_scores,
    read_results,
    score,
    scores_place,
)
from xattr.run import Computation, Place, RunMismatch, execute, open_run

# Not in the order of the alphabet.
METHODS = ("rise", "grad_cam", "gradient")
MEASURED = ("deletion", "faithfulness_correlation", "gini", "max_sensitivity")
SMALL = {"rise": {"num_masks": 4}}


def comparison(metrics=MEASURED, annotations=None, methods=METHODS) -> Comparison:
    options = SMALL if "rise" in methods else {}
    wanted = plan(*methods, tile_size=4, options=options)
    rows = {name: METRICS[name] for name in metrics}
    return Comparison(wanted, rows, BUDGETS["quick"], annotations or Annotations())


def compute(folder: Path, compared: Comparison, source, **options):
    place = Place(folder)
    programs = {m: Computation(compared.plan_of(m)) for m in compared.methods}
    for name, program in programs.items():
        execute(program.plan, source, maps_place(place, name), computation=program)
    return score(compared, programs, source, place, **options)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    compared = comparison()
    compute(folder, compared, noise(10, bad=(3,)))
    return folder, compared


def test_every_photograph_has_a_value_of_every_metric_and_method(done):
    folder, compared = done
    for metric in MEASURED:
        table = open_run(scores_place(Place(folder), metric).address).rows()
        assert table["index"].to_pylist() == list(range(10))
        for method in METHODS:
            values = table[method].to_pylist()
            assert values[3] is None
            seen = 8 if metric == "max_sensitivity" else 10
            known = [v for k, v in enumerate(values) if k < seen and k != 3]
            assert np.isfinite(known).all()
            assert all(v is None for v in values[seen:])


def test_values_are_those_of_the_metric_called_alone(done):
    import jax.numpy as jnp

    from xattr import metrics
    from xattr.images import channel_norm

    folder, compared = done
    maps = open_run(maps_place(Place(folder), "gradient").address).maps["gradient"]
    pixels = np.stack([Noise(10)[k]["image"] for k in (0, 9)])
    images = jnp.asarray(pixels, jnp.float32) / 255
    flat = channel_norm(jnp.asarray(maps[[0, 9]]))
    expected = metrics.deletion(
        compared.plan.pretrained.model, images, flat, num_steps=16
    ).area
    found = open_run(scores_place(Place(folder), "deletion").address).rows()
    found = found["gradient"].to_numpy()[[0, 9]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.ptp(found) > 0


def test_an_interrupted_comparison_ends_with_the_same_bytes(done, tmp_path):
    folder, compared = done
    source = noise(10, bad=(3,))
    with pytest.raises(KeyboardInterrupt):
        compute(tmp_path, compared, source, report=Stop(2))
    assert not (tmp_path / "scores/gini/rows").exists()
    compute(tmp_path, compared, source)
    assert digests(tmp_path / "scores") == digests(folder / "scores")
    assert digests(tmp_path / "maps") == digests(folder / "maps")


def test_a_record_may_be_skipped_while_tiles_are_staged(tmp_path):
    compared = comparison(("gini",), methods=("gradient",))
    source, place = noise(10, bad=(0,)), Place(tmp_path)
    program = Computation(compared.plan_of("gradient"))
    where = maps_place(place, "gradient")
    execute(program.plan, source, where, computation=program, limit=1)
    score(compared, {"gradient": program}, source, place, limit=1)
    found = compute(tmp_path, compared, source)
    assert found.done == 10
    assert read_results(compared, place).estimates["gradient"]["gini"].num == 9


class Stop:
    """Ends a computation at its so-many-th report."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, progress, lacking) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_metric_is_added_to_what_is_there(done):
    folder, _ = done
    more = comparison((*MEASURED, "entropy"))
    before = digests(folder / "scores/deletion")
    compute(folder, more, noise(10, bad=(3,)))
    assert digests(folder / "scores/deletion") == before
    found = read_results(more, Place(folder))
    assert found.estimates["rise"]["entropy"].num == 9


def test_another_method_is_refused_and_nothing_is_written(done):
    folder, _ = done
    before = digests(folder)
    more = comparison(methods=(*METHODS, "lrp"))
    with pytest.raises(RunMismatch, match="methods.lrp: nothing there"):
        open_scores(more, noise(10, bad=(3,)), Place(folder), jax.devices()[0])
    assert digests(folder) == before


def test_other_settings_are_refused(done):
    folder, compared = done
    other = Comparison(compared.plan, compared.metrics, BUDGETS["paper"])
    with pytest.raises(RunMismatch, match="num_steps: 16 there"):
        compute(folder, other, noise(10, bad=(3,)))


def test_results_are_means_and_agreements(done):
    folder, compared = done
    found = read_results(compared, Place(folder))
    table = open_run(scores_place(Place(folder), "gini").address).rows()
    values = [v for v in table["rise"].to_pylist() if v is not None]
    estimate = found.estimates["rise"]["gini"]
    assert estimate.mean == pytest.approx(np.mean(values), rel=1e-6)
    assert estimate.low <= estimate.mean <= estimate.high
    assert estimate.num == 9
    np.testing.assert_allclose(np.diag(found.agreement), 1, rtol=1e-5)
    assert np.isnan(found.disagreement[3])
    assert found.curves["deletion"]["rise"].shape == (17,)


def test_missing_boxes_leave_only_what_needs_them_empty(tmp_path):
    boxes = tmp_path / "boxes.csv"
    lines = [f"{k:04d}.png,16,16,2,2,9,9" for k in (0, 5)]
    boxes.write_text("\n".join(["file,width,height,x0,y0,x1,y1", *lines]))
    compared = comparison(
        ("gini", "pointing_game", "max_box_accuracy"),
        Annotations(boxes),
        ("gradient",),
    )
    compute(tmp_path / "out", compared, noise(6))
    found = read_results(compared, Place(tmp_path / "out")).estimates["gradient"]
    assert found["gini"].num == 6
    assert found["pointing_game"].num == 2
    assert found["max_box_accuracy"].num == 2
    assert 0 <= found["max_box_accuracy"].mean <= 1


def test_programs_are_compiled_once_for_all_methods():
    compared = comparison(("deletion",))
    scoring = Scoring(compared)
    maps = jax.random.normal(jax.random.key(0), (3, 4, 16, 16))
    scoring.score("deletion", plain(scoring), maps)
    assert scoring._program("deletion")._cache_size() == 1


def test_a_map_that_is_not_finite_has_neither_value_nor_curve():
    compared = comparison(("deletion",), methods=("gradient",))
    scoring = Scoring(compared)
    maps = jax.random.normal(jax.random.key(0), (1, 4, 16, 16))
    found = scoring.score("deletion", plain(scoring), maps.at[0, 2, 3, 3].set(np.inf))
    assert found.curves is not None
    for numbers in (found.values, found.curves.sum(-1)):
        np.testing.assert_array_equal(np.isfinite(numbers[0]), [1, 1, 0, 1])


def plain(scoring: Scoring):
    """A tile of four black photographs."""
    return scoring.scene(
        np.zeros((4, 16, 16, 3), np.uint8),
        np.arange(4),
        np.zeros(4, np.int32),
        np.full((4, 1, 4), np.nan, np.float32),
        np.zeros((4, 16, 16), bool),
    )


def test_agreement_is_kept_for_every_photograph(done):
    folder, _ = done
    table = open_run(scores_place(Place(folder), AGREEMENT).address).rows()
    assert len(table[AGREEMENT][0].as_py()) == 9
    assert table[AGREEMENT][3].as_py() is None
