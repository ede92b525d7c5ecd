"""Budgets, metrics, agreement, annotations, intervals."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from xattr.cli.methods import METHODS
from xattr.compare import (
    BUDGETS,
    METRICS,
    Annotations,
    agreement,
    disagreement,
    estimate,
    reduced,
)
from xattr.images import Preprocess


@pytest.mark.parametrize("name", METRICS)
def test_every_setting_of_a_metric_is_one_of_its_arguments(name):
    row = METRICS[name]
    known = inspect.signature(row.function).parameters
    assert {*row.quick, *row.paper} <= known.keys()


@pytest.mark.parametrize("budget", BUDGETS)
def test_every_option_of_a_budget_is_one_of_its_method(budget):
    for name, options in BUDGETS[budget].methods.items():
        function = METHODS[name].method
        function = getattr(function, "func", function)
        assert options.keys() <= inspect.signature(function).parameters.keys()


def test_what_is_given_goes_before_the_budget():
    options = BUDGETS["quick"].options({"rise": 0, "lime": 0}, {"rise": {"grid": 5}})
    assert options["rise"] == {"num_masks": 128, "grid": 5}
    assert options["lime"] == {"num_samples": 128}


def test_agreement_is_the_rank_correlation_of_coarse_maps():
    maps = jax.random.normal(jax.random.key(0), (3, 2, 8, 8))
    found = agreement(maps, grid=4)
    coarse = jax.image.resize(maps, (3, 2, 4, 4), "linear", antialias=True)
    ranks = np.asarray(coarse).reshape(3, 2, 16).argsort(-1).argsort(-1)
    assert found.shape == (2, 3, 3)
    expected = np.corrcoef(ranks[0, 1], ranks[2, 1])[0, 1]
    assert found[1, 0, 2] == pytest.approx(expected, abs=1e-5)
    same = agreement(jnp.stack([maps[0], 3 * maps[0] + 1, -maps[0]]), grid=4)
    np.testing.assert_allclose(same[:, 0], [[1, 1, -1]] * 2, atol=1e-5)


def test_a_map_that_says_nothing_has_no_agreement():
    rising = jnp.arange(60.0 * 60).reshape(1, 60, 60)
    maps = jnp.stack([jnp.full_like(rising, 0.3), rising])
    found = agreement(maps)
    assert np.isnan(found[0, 0, 1])
    assert found[0, 1, 1] == pytest.approx(1)
    assert np.isnan(disagreement(found)[0])


def test_maps_of_a_site_are_enlarged_and_channels_are_joined():
    assert reduced("grad_cam", jnp.ones((1, 2, 2)), (4, 4)).shape == (1, 4, 4)
    values = jnp.array([[[[1.0, -1.0]]]])
    assert float(reduced("lrp", values, (1, 1))[0, 0, 0]) == 0
    assert float(reduced("gradient", values, (1, 1))[0, 0, 0]) == pytest.approx(2**0.5)
    assert float(reduced("gradient", -values[..., :1], (1, 1))[0, 0, 0]) == -1


def test_intervals_cover_the_mean_of_a_known_distribution():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        found = estimate(rng.normal(2.0, 1.0, 40), seed=seed)
        covered += found.low <= 2.0 <= found.high
    assert 86 <= covered <= 99


def test_a_statistic_over_the_data_is_resampled_as_a_whole():
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [np.nan, 1.0]])
    found = estimate(rows, over_data=lambda rows: float(rows.mean(0).max()))
    assert found.mean == 0.5
    assert found.high == 1.0
    assert found.num == 2


def test_boxes_follow_the_photograph_into_the_square(tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text(
        "file,width,height,x0,y0,x1,y1\na.png,40,20,10,0,20,20\na.png,40,20,0,0,5,20\n"
    )
    found = Annotations(table).of(["a.png", "b.png"], Preprocess(size=20, resize=20))
    np.testing.assert_allclose(found.boxes[0, 0], [0, 0, 10, 20])
    assert np.isnan(found.boxes[0, 1]).all()  # outside of the square
    assert found.masks[0, :, :10].all()
    assert not found.masks[0, :, 10:].any()
    assert found.found.tolist() == [True, False]


def test_masks_go_before_boxes(tmp_path):
    mask = np.zeros((20, 40), np.uint8)
    mask[:10, 15:] = 255
    (tmp_path / "masks/sub").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "masks/sub/a.png")
    annotations = Annotations(masks=tmp_path / "masks")
    found = annotations.of(["sub/a.jpg"], Preprocess(size=20, resize=20))
    assert found.masks[0, :10, 5:].all()
    assert found.masks[0].sum() == 150


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_masks_are_what_is_not_black(tmp_path, mode):
    values = np.zeros((8, 8), np.uint8)
    values[:4] = 255
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16))
    else:
        image = Image.fromarray(values).convert(mode)
    if mode == "P":  # black is no longer the first color
        image.putpalette([c for k in range(256) for c in [255 - k] * 3])
        image = image.point([255, *[0] * 255])
    (tmp_path / "masks").mkdir()
    image.save(tmp_path / "masks/a.png")
    found = Annotations(masks=tmp_path / "masks").of(["a.jpg"], Preprocess(8, 8))
    np.testing.assert_array_equal(found.masks[0], values > 0)


def test_damaged_masks_are_refused(tmp_path):
    Image.fromarray(np.ones((8, 8), np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for damaged in (whole[:-20], b"nonsense", b"", whole.replace(b"IDAT", b"IDAX")):
        (tmp_path / "a.png").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"`masks`: .*a.png cannot be read"):
            Annotations(masks=tmp_path)


def test_names_that_fit_no_photograph_are_refused(tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text("file,width,height,x0,y0,x1,y1\nb/a.png,9,9,1,1,2,2\n")
    names = iter(["c.png", "b/a.png", "d.png"])
    Annotations(table).check(names)
    assert next(names) == "d.png"  # which nothing has asked for
    with pytest.raises(ValueError, match="such as 'b/a.png', the photographs .* 'a.pn"):
        Annotations(table).check(["a.png"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,x0\n", "no column width, height, y0"),
        ("file,width,height,x0,y0,x1,y1\n", "holds no box"),
        ("file,width,height,x0,y0,x1,y1\na,9,9,5,5,5,8\n", "has no area"),
        ("file,width,height,x0,y0,x1,y1\na,9,9,5,b,7,8\n", "must be numbers"),
        (
            "file,width,height,x0,y0,x1,y1\na,9,9,1,1,2,2\na,8,9,1,1,2,2\n",
            "has two sizes",
        ),
    ],
)
def test_wrong_tables_of_boxes_are_refused(tmp_path, text, message):
    table = tmp_path / "boxes.csv"
    table.write_text(text)
    with pytest.raises(ValueError, match=message):
        Annotations(table)
