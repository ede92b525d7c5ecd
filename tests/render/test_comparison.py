import json
import re
from html import unescape

import numpy as np
import pytest

from tests.render.pages import EVIL
from tests.render.test_browser import CHROMIUM, open_page
from tests.render.test_page import Elements
from xattr.render import (
    Cell,
    Chart,
    Column,
    ComparisonHead,
    Example,
    Layer,
    Row,
    comparison_page,
    embed,
)

COLUMNS = [
    Column("deletion", "Deletion", "lower", "probability", "Area under the curve."),
    Column("insertion", "Insertion", "higher"),
    Column("gini", "Gini index", about="How sparse a map is."),
]
ROWS = [
    Row(
        *("rise", "perturbations", 2.5),
        {
            "deletion": Cell(0.125, 0.1, 0.15, 10),
            "insertion": Cell(0.5, 0.4, 0.6, 9),
            "gini": Cell(0.9),
        },
    ),
    Row(
        *("grad_cam", "cams", 0.0125),
        {
            "deletion": Cell(0.25, 0.2, 0.3, 10),
            "insertion": Cell(0.75, 0.7, 0.8, 10),
            "gini": Cell(None, reason="left out: " + EVIL),
        },
    ),
    Row(
        *("random", "", None),
        {
            "deletion": Cell(0.0, 0.0, 0.0, 10),
            "insertion": Cell(1.0, 1.0, 1.0, 10),
            "gini": Cell(None, reason="left out: " + EVIL),
        },
        control=True,
    ),
]
HEAD = ComparisonHead(
    *("mobilenet_v2", "my photographs", 10),
    facts=[("Budget", "5 minutes"), ("Seed", "3")],
    hyperparameters=[("rise", "num_masks=4000"), (EVIL, EVIL)],
    confidence=0.9,
    disagreement="One minus the mean rank correlation.",
    notice="It was interrupted.",
)


def sample() -> str:
    photo = embed(np.full((16, 16, 3), 80, np.uint8))
    layers = [Layer("rise", photo), Layer("grad_cam", None, "all zero")]
    return comparison_page(
        *(HEAD, COLUMNS, ROWS),
        charts=[Chart("Curves", "curves.png", "Mean score."), Chart("B", photo, "b")],
        examples=[Example(EVIL, photo, layers, 0.8125, "tabby <cat>")],
    )


def shown(text: str) -> str:
    return " ".join(" ".join(Elements(text).texts).split())


def body_rows(text: str) -> list[str]:
    body = text.split("<tbody>", 1)[1].split("</tbody>", 1)[0]
    return body.split("<tr")[1:]


def test_what_is_shown():
    text = shown(sample())
    for part in (
        *("mobilenet_v2", "my photographs", "Budget 5 minutes", "Seed 3"),
        *("It was interrupted.", "num_masks=4000", "90% bootstrap interval"),
        *("Grad-CAM", "cams", "0.125", "0.100 to 0.150", "9 of 10 images"),
        *("↓ lower is better", "↑ higher is better", "neither is better"),
        *("Deletion Area under the curve.", "tabby <cat>", "disagreement 0.812"),
        *("One minus the mean rank correlation.", "all zero", "Mean score."),
    ):
        assert part in text, part


def test_names_are_escaped():
    elements = Elements(sample())
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert sum(EVIL in text for text in elements.texts) == 4


def test_the_page_loads_nothing_from_elsewhere():
    text = sample()
    sources = [a["src"] for _, a in Elements(text).found if "src" in a]
    assert len(sources) == 4
    assert [s for s in sources if not s.startswith("data:")] == ["curves.png"]
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_best_of_a_column_is_marked_controls_apart():
    rows = body_rows(sample())
    assert [row.count("<b>") for row in rows] == [4, 3, 2]
    best = [re.findall(r'class="best"><b>([\d.]+)', row) for row in rows]
    assert best == [["0.125"], ["0.0125", "0.750"], []]


def test_equal_bests_are_all_marked():
    rows = [Row(name, "", 1.0, {"a": Cell(0.5)}) for name in ("rise", "lime")]
    text = comparison_page(HEAD, [Column("a", "A", "higher")], rows)
    assert text.count('class="best"') == 4


def test_missing_numbers_say_why_once():
    text = sample()
    assert text.count('class="missing"') == 3
    assert re.findall(r'href="#(note-\d)"', text) == ["note-1", "note-2", "note-1"]
    notes = re.findall(r'<li id="(note-\d)">(.*)</li>', text)
    assert [(name, unescape(note)) for name, note in notes] == [
        *(("note-1", "left out: " + EVIL), ("note-2", "not measured"))
    ]


def test_bars_lie_on_the_range_of_the_column():
    bars = re.findall(r"--a: (.*?); --m: (.*?); --z: (.*?)\"", body_rows(sample())[0])
    expected = [np.array([0.1, 0.125, 0.15]) / 0.3, (np.array([4, 5, 6]) - 4) / 6]
    np.testing.assert_allclose(np.array(bars, float), expected, atol=1e-4)


def test_digits_follow_the_column_and_times_their_own():
    rows = [
        Row("rise", "", 12.0, {"a": Cell(1234.0)}),
        Row("lime", "", 0.001, {"a": Cell(-5.25)}),
    ]
    text = comparison_page(HEAD, [Column("a", "A", "higher")], rows)
    values = re.findall(r"<b>(-?[\d.]+)</b>", text)
    assert values == ["12.0", "1234", "0.00100", "-5"]


def test_little_is_enough():
    text = comparison_page(ComparisonHead("m", "d", 0), [], [])
    assert "No method was compared." in text
    for part in ("Charts", "disagree", "Hyperparameters", 'notice"'):
        assert part not in text
    row = Row("rise", "", 1.0, {"a": Cell(0.0)})
    assert "<b>0.00</b>" in comparison_page(HEAD, [Column("a", "A", "lower")], [row])


def test_a_row_has_a_cell_for_each_column():
    row = Row("rise", "", 1.0, {"deletion": Cell(1.0)})
    with pytest.raises(ValueError, match="row of 'rise' has the cells"):
        comparison_page(HEAD, COLUMNS, [row])


@pytest.mark.parametrize("mean", [None, np.nan, np.inf])
def test_a_missing_number_needs_a_reason(mean):
    with pytest.raises(ValueError, match="without a `reason`"):
        Cell(mean)
    assert not Cell(mean, reason="budget").known


def test_half_an_interval_and_other_directions_are_refused():
    with pytest.raises(ValueError, match="`low`=0.1 and `high`=None; give two"):
        Cell(0.5, 0.1)
    with pytest.raises(ValueError, match="`low`=nan"):
        Cell(0.5, np.nan, 0.6)
    with pytest.raises(ValueError, match="`better` must be 'higher', 'lower' or ''"):
        Column("a", "A", "up")  # pyright: ignore[reportArgumentType]


PROBE = """
<script>
addEventListener("load", () => {
  const heads = [...document.querySelectorAll(".numbers thead th")], seen = [];
  for (const place of [0, 0, 3, 3, 4, 5, 5]) {
    heads[place].querySelector("button").click();
    const rows = [...document.querySelectorAll(".numbers tbody th")];
    seen.push([heads[place].ariaSort, ...rows.map(row => row.textContent)]);
  }
  const others = heads.filter(head => head.ariaSort !== "none").length;
  document.title = JSON.stringify([seen, others, document.images[0].naturalWidth]);
});
</script>
"""


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed")
def test_a_click_sorts_the_best_first_and_what_is_missing_last(tmp_path):
    from PIL import Image

    Image.new("RGB", (5, 5)).save(tmp_path / "curves.png")
    text = sample().replace(' loading="lazy"', "") + PROBE
    dom = open_page(tmp_path, text, "--dump-dom")
    title = dom.split("<title>", 1)[1].split("</title>", 1)[0]
    seen, others, width = json.loads(unescape(title))
    rise, grad_cam, random = "RISE", "Grad-CAM", "Random"
    assert seen == [
        ["ascending", grad_cam, random, rise],
        ["descending", rise, random, grad_cam],
        ["ascending", random, rise, grad_cam],
        ["descending", grad_cam, rise, random],
        ["descending", random, grad_cam, rise],
        ["descending", rise, random, grad_cam],
        ["ascending", rise, random, grad_cam],
    ]
    assert others == 1
    assert width == 5
