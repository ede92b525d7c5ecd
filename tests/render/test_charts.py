import io
import itertools
import sys

import numpy as np
import pytest

from xattr.render import (
    agreement_chart,
    deletion_insertion_chart,
    randomization_chart,
    speed_faithfulness_chart,
)
from xattr.render._seriation import seriation
from xattr.render._speed_chart import pareto_front

RNG = np.random.default_rng(0)
STEPS = np.linspace(0, 1, 5)


def legend(axis) -> list[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


def colors(axis) -> dict[str, str]:
    """Each line's color by its name in the legend."""
    lines = [line for line in axis.lines if not line.get_label().startswith("_")]
    return {line.get_label().rsplit("  ", 1)[0]: line.get_color() for line in lines}


def falling(count: int) -> dict:
    """Curves whose area is 0.1, 0.2, ..."""
    return {f"m{k:02}": (STEPS, np.full(5, (k + 1) / 10)) for k in range(count)}


def test_legends_are_ordered_by_area_the_best_first():
    chart = deletion_insertion_chart(falling(3), falling(3))
    assert legend(chart.axes[0]) == ["M00  0.100", "M01  0.200", "M02  0.300"]
    assert legend(chart.axes[1]) == ["M02  0.300", "M01  0.200", "M00  0.100"]
    assert [axis.get_xlabel() for axis in chart.axes] == [
        *("Fraction deleted", "Fraction inserted")
    ]
    assert "smaller" in chart.axes[0].get_title()
    assert "larger" in chart.axes[1].get_title()


def test_a_method_has_one_color_in_both_panels():
    chart = deletion_insertion_chart(falling(12), falling(12))
    first, second = (colors(axis) for axis in chart.axes)
    assert len(first) == 9
    assert first == second
    assert len({*first.values()}) == 9


def test_of_many_methods_only_the_best_of_each_panel_are_named():
    chart = deletion_insertion_chart(falling(12), falling(12))
    names = [text.split("  ")[0] for text in legend(chart.axes[0])]
    assert names == ["M00", "M01", "M02", "M03", "M08", "M09", "M10", "M11", "4 others"]
    assert legend(chart.axes[0])[-1] == "4 others  0.500 to 0.800"
    assert len(chart.axes[0].lines) == 12 + 1


def test_controls_are_dotted_and_never_among_the_best():
    curves = falling(12) | {"random": (STEPS, np.zeros(5))}
    axis = deletion_insertion_chart(curves, curves, controls=["random"]).axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    assert lines["Random  0.000"].get_linestyle() == ":"
    assert "M03  0.400" in lines


def test_curves_that_are_not_finite_are_named_and_not_drawn():
    curves = falling(2) | {"rise": (STEPS, np.full(5, np.nan))}
    chart = deletion_insertion_chart(curves, falling(2))
    assert legend(chart.axes[0])[-1] == "Not finite, not drawn: RISE"
    assert "RISE" not in " ".join(legend(chart.axes[1]))


def test_curves_are_checked():
    with pytest.raises(ValueError, match="`insertion` are empty"):
        deletion_insertion_chart({}, {})
    with pytest.raises(ValueError, match="'rise' has 5 fractions and 1 scores"):
        deletion_insertion_chart({"rise": (STEPS, [1.0])}, {})


def test_methods_that_change_least_and_most_are_named():
    layers = [f"layer$_{k}" for k in range(4)]
    similarity = {f"m{k:02}": np.full(4, k / 20) for k in range(20)}
    axis = randomization_chart(layers, similarity, measure="SSIM").axes[0]
    names = [text.split("  ")[0] for text in legend(axis)]
    assert names == ["M19", "M18", "M17", "M16", "M03", "M02", "M01", "M00"] + [
        "12 others"
    ]
    assert axis.get_ylabel() == "SSIM"
    assert len(axis.get_xticklabels()) == 4


def test_stages_are_thinned_and_checked():
    layers = [f"block/{k}" for k in range(95)]
    axis = randomization_chart(layers, {"gradient": np.ones(95)}).axes[0]
    labels = [tick.get_text() for tick in axis.get_xticklabels()]
    assert labels == layers[::4]
    with pytest.raises(ValueError, match=r"`similarity`\['gradient'\] has 2 values"):
        randomization_chart(layers, {"gradient": [1, 1]})
    with pytest.raises(ValueError, match="`similarity` is empty"):
        randomization_chart(layers, {})


def test_a_stage_without_a_value_is_a_gap():
    found = {"deconvnet": [1, np.nan, 0.5], "lime": [np.nan] * 3}
    axis = randomization_chart(["c", "b", "a"], found).axes[0]
    assert legend(axis) == ["Deconvnet  0.750", "Not finite, not drawn: LIME"]
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), found["deconvnet"])


def test_seriation_puts_groups_together_again():
    groups = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    similarity = (groups[:, None] == groups).astype(float)
    order = seriation(similarity)
    assert sorted(order) == list(range(10))
    assert sum(a != b for a, b in itertools.pairwise(groups[order])) == 2


def test_seriation_finds_a_line():
    places = RNG.permutation(20)
    order = seriation(-np.abs(places[:, None] - places).astype(float))
    np.testing.assert_array_equal(np.abs(np.diff(places[order])), 1)


def test_seriation_of_nothing_and_of_unknown():
    assert seriation(np.zeros((0, 0))) == []
    assert sorted(seriation(np.full((3, 3), np.nan))) == [0, 1, 2]


def test_agreement_is_drawn_and_printed_in_the_same_order():
    matrix = np.array([[1, -0.5, 0.9], [-0.5, 1, np.nan], [0.9, np.nan, 1]])
    axis, bar = agreement_chart(["rise", "cam", "lime"], matrix).axes
    names = [tick.get_text() for tick in axis.get_yticklabels()]
    assert names == [tick.get_text() for tick in axis.get_xticklabels()]
    order = [["RISE", "CAM", "LIME"].index(name) for name in names]
    assert order in ([0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1])
    expected = matrix[np.ix_(order, order)]
    drawn = np.ma.asarray(axis.images[0].get_array()).filled(np.nan)
    np.testing.assert_array_equal(drawn, expected)
    texts = [text.get_text() for text in axis.texts]
    assert texts == ["none" if np.isnan(x) else f"{x:.2f}" for x in expected.flat]
    assert bar.get_ylabel() == "Rank correlation"


def test_numbers_of_many_methods_are_not_printed():
    chart = agreement_chart([f"m{k}" for k in range(16)], np.eye(16))
    assert not chart.axes[0].texts


def test_agreement_is_checked():
    with pytest.raises(ValueError, match=r"`matrix` has shape \(2, 2\) for 1 `names`"):
        agreement_chart(["rise"], np.eye(2))
    with pytest.raises(ValueError, match="magnitudes up to 3"):
        agreement_chart(["rise"], np.array([[3.0]]))


def test_the_front_is_what_nothing_beats():
    times, values = RNG.random((2, 60))
    front = pareto_front(times, values)
    beaten = [
        any((times <= t) & (values >= v) & ((times < t) | (values > v)))
        for t, v in zip(times, values, strict=True)
    ]
    assert sorted(front) == np.flatnonzero(~np.array(beaten)).tolist()
    assert (np.diff(times[front]) > 0).all()


def sample(count: int, **options):
    names = [f"method_{k}" for k in range(count)]
    families = [("cams", "paths", "perturbations")[k % 3] for k in range(count)]
    values = np.linspace(0.2, 0.8, count)
    times = np.geomspace(0.01, 3, count)
    ends = np.stack([values - 0.1, values + 0.1], 1)
    given = {"names": names, "families": families, "seconds_per_image": times}
    given |= {"faithfulness": values, "intervals": ends}
    return speed_faithfulness_chart(**(given | options))


def bold(chart) -> list[str]:
    texts = chart.axes[0].texts
    return [text.get_text() for text in texts if text.get_fontweight() == "bold"]


@pytest.mark.parametrize("times", [[0.01], [1e-6, 1e-6], [0.01, np.nextafter(0.01, 1)]])
def test_equal_times_get_an_axis_around_them(times):
    chart = sample(len(times), seconds_per_image=times)
    chart.draw_without_rendering()
    low, high = chart.axes[0].get_xlim()
    assert low < min(times) / 1.9
    assert high > max(times) * 1.9


def test_every_method_is_labeled_and_the_front_is_bold():
    chart = sample(4)
    axis = chart.axes[0]
    names = sorted(text.get_text() for text in axis.texts if text.get_text())
    assert names == [f"Method {k}" for k in range(4)]
    assert bold(chart) == names
    assert bold(sample(4, better="lower")) == ["Method 0"]
    assert axis.get_xscale() == "log"
    assert axis.get_ylabel() == "Faithfulness (higher is better)"
    assert legend(axis)[1:] == ["cams", "paths", "perturbations"]


def test_a_control_is_not_on_the_front():
    assert "Method 3" not in bold(sample(4, controls=["method_3"]))


def test_labels_of_crowded_points_do_not_cover_each_other():
    count = 30
    chart = sample(
        count,
        seconds_per_image=np.exp(RNG.normal(size=count)),
        faithfulness=RNG.normal(size=count),
    )
    chart.savefig(io.BytesIO(), format="png")
    boxes = [t.get_window_extent() for t in chart.axes[0].texts if t.get_text()]
    assert len(boxes) == count
    overlapping = [a.overlaps(b) for a, b in itertools.combinations(boxes, 2)]
    assert sum(overlapping) <= 2


def test_what_is_not_finite_is_named_and_left_out():
    chart = sample(4, faithfulness=np.array([0.1, np.nan, 0.2, 0.3]))
    assert chart.axes[0].get_xlabel().endswith("without a finite value: Method 1")
    assert "Method 1" not in [text.get_text() for text in chart.axes[0].texts]


def test_speed_is_checked():
    with pytest.raises(ValueError, match=r"have the lengths \[4, 4, 4, 1, 4\]"):
        sample(4, faithfulness=[1.0])
    with pytest.raises(ValueError, match="`seconds_per_image` holds 0"):
        sample(4, seconds_per_image=np.array([0.0, 1, 1, 1]))
    with pytest.raises(ValueError, match="`better` must be 'higher' or 'lower'"):
        sample(4, better="up")
    with pytest.raises(ValueError, match="`families` names 9"):
        sample(9, families=list("abcdefghi"))


def test_names_are_no_formulas_and_nothing_global_is_touched():
    before = "matplotlib.pyplot" in sys.modules
    names = ["a$b$", r"$\frac$"]
    charts = [
        deletion_insertion_chart({name: (STEPS, STEPS) for name in names}, {}),
        randomization_chart(names, {name: [1, 0] for name in names}),
        agreement_chart(names, np.full((2, 2), np.nan)),
        speed_faithfulness_chart(names, names, [1, 1], [1, 1], [(0, 2), (0, 2)]),
    ]
    for chart in charts:
        buffer = io.BytesIO()
        chart.savefig(buffer, format="png", dpi=30)
        assert buffer.getvalue().startswith(b"\x89PNG")
    assert ("matplotlib.pyplot" in sys.modules) == before
