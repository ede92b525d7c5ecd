"""Average drop, increase and gain: scores behind the map."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import metrics_curves as oracle
from xattr.metrics import average_drop, average_gain, average_increase

METRICS = (average_drop, average_increase, average_gain)


@pytest.fixture(scope="module")
def case():
    model = networks.tiny_convnet(jax.random.key(0))
    maps = jax.random.normal(jax.random.key(1), (6, 12, 12))
    return model, networks.images(6), maps, jnp.array([0, 1, 2, 3, 4, 0])


@pytest.mark.parametrize("mute", [0.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_they_are_the_formulas(case, mute):
    model, images, maps, targets = case
    fill = jnp.array([0.3, -0.2, 0.1])
    options: Any = {"mute": mute, "baseline": fill}
    found = [metric(model, images, maps, targets, **options) for metric in METRICS]
    probability = jax.jit(lambda x: jax.nn.softmax(model(x[None])[0]))
    drops = average_drop(model, images, maps, targets, relative=False, **options)
    for n in range(6):
        p, o = oracle.masked_scores(
            lambda x, n=n: float(probability(x)[targets[n]]),
            np.array(images[n]),
            np.array(fill),
            np.array(maps[n]),
            mute,
        )
        expected = max(0, p - o) / p, float(o > p), max(0, o - p) / (1 - p)
        np.testing.assert_allclose([m[n] for m in found], expected, atol=1e-5)
        np.testing.assert_allclose(drops[n], max(0, p - o), atol=1e-5)
    # Both directions occur, so that none of it is compared with zeros alone.
    assert 0 < float(found[1].mean()) < 1


def test_a_map_of_ones_but_for_one_pixel_deceives_all_but_the_gain(case):
    model, images, *_ = case
    fake = jnp.ones((6, 12, 12)).at[:, 0, 0].set(0)
    drop, increase, gain = (metric(model, images, fake) for metric in METRICS)
    assert float(drop.max()) < 0.05
    assert float(gain.max()) < 0.05
    assert float(increase.mean()) > 0


def test_a_map_that_hides_nothing_and_one_that_hides_all():
    def model(x):
        return x.sum((1, 2, 3))[:, None]

    x = jnp.array([[[[0.5], [0.0]]]])
    options: Any = {"score": xattr.logit}
    good, bad = jnp.array([[[1.0, 0.0]]]), jnp.array([[[0.0, 1.0]]])
    assert [float(m(model, x, good, **options)[0]) for m in METRICS] == [0, 0, 0]
    assert [float(m(model, x, bad, **options)[0]) for m in METRICS] == [1, 0, 0]
    constant = jnp.ones((1, 1, 2))
    assert float(average_drop(model, x, constant, **options)[0]) == 1
    white: Any = {"baseline": 0.5, **options}
    assert [float(m(model, x, good, **white)[0]) for m in METRICS] == [0, 1, 1]


def test_of_the_positive_part_what_speaks_against_the_class_is_hidden_in_full():
    def model(x):
        return x.sum((1, 2, 3))[:, None]

    x, maps = jnp.array([[[[1.0], [2.0], [1.0]]]]), jnp.array([[[-3.0, 0.0, 1.0]]])
    options: Any = {"score": xattr.logit}
    signed = average_drop(model, x, maps, **options)
    # The masks are 0, 3/4, 1 and 0, 0, 1: of 4 remain 2.5 and 1.
    np.testing.assert_allclose(signed, [1.5 / 4])
    positive = average_drop(model, x, maps, sign="positive", **options)
    np.testing.assert_allclose(positive, [3 / 4])
    options["sign"] = "positive"
    for metric in METRICS:
        same = metric(model, x, jnp.maximum(maps, 0), **options)
        np.testing.assert_array_equal(metric(model, x, maps, **options), same)
    hidden = average_drop(model, x, -jnp.abs(maps) - 1, **options)
    assert hidden.tolist() == [1]


def test_another_sign_is_refused(case):
    model, images, maps, _ = case
    wrong: Any = "negative"
    for metric in METRICS:
        with pytest.raises(ValueError, match=r'`sign`=.negative.*sign="positive"'):
            metric(model, images, maps, sign=wrong)


def test_nothing_to_lose_and_nothing_to_win():
    def model(x):
        return x.sum((1, 2, 3))[:, None]

    x, maps = jnp.array([[[[0.0], [0.0]]], [[[1.0], [0.0]]]]), jnp.ones((2, 1, 2))
    maps = maps.at[:, 0, 1].set(0)
    assert average_drop(model, x, maps, score=xattr.logit).tolist() == [0, 0]
    assert average_gain(model, x, maps, score=xattr.logit).tolist() == [0, 0]


@pytest.mark.parametrize("metric", METRICS)
def test_neither_chunks_nor_other_images_matter(case, metric):
    model, images, maps, _ = case
    whole = metric(model, images, maps)
    parts = metric(model, images[1:], maps[1:], chunk_size=3)
    np.testing.assert_allclose(whole[1:], parts, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("metric", METRICS)
def test_maps_may_be_in_any_units(case, metric):
    model, images, maps, _ = case
    np.testing.assert_allclose(
        metric(model, images, maps), metric(model, images, 9 * maps - 5), atol=1e-5
    )


@pytest.mark.parametrize("metric", METRICS)
def test_a_map_that_holds_no_number_gives_none(case, metric):
    model, images, maps, _ = case
    broken = maps.at[1, 0, 0].set(jnp.nan)
    found = metric(model, images[:3], broken[:3])
    assert np.isnan(found).tolist() == [False, True, False]


def test_refusals(case):
    model, images, maps, _ = case
    with pytest.raises(ValueError, match="`mute`=1.0"):
        average_drop(model, images, maps, mute=1.0)
    with pytest.raises(ValueError, match="channel_sum"):
        average_gain(model, images, images)
    with pytest.raises(ValueError, match="`baseline` has shape"):
        average_increase(model, images, maps, baseline=jnp.zeros(4))
