import time

import numpy as np
import pytest

from tests.oracles import graph_using as oracle
from xattr.graph._instability import (
    instability_interval,
    interval,
    location_instability,
)


def case(seed=0, images=14, nodes=6, parts=3):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(size=(images, nodes, 2))
    # Some scores are equal: the first images count then.
    scores = rng.integers(0, 5, (images, nodes)).astype(float)
    landmarks = rng.uniform(size=(images, parts, 2))
    landmarks[rng.uniform(size=(images, parts)) < 0.4] = np.nan
    return positions, scores, landmarks


@pytest.mark.parametrize("visible_first", [False, True])
@pytest.mark.parametrize("num_images", [2, 5, 100])
def test_equals_a_loop_over_nodes_landmarks_and_images(visible_first, num_images):
    data = case()
    found = location_instability(
        *data, num_images=num_images, visible_first=visible_first
    )
    slow = oracle.instability(*data, num_images, visible_first)
    np.testing.assert_allclose(found, slow, rtol=1e-12)


def test_protocols_differ_and_single_precision_does_not_matter():
    data = case()
    after = location_instability(*data, num_images=5)
    before = location_instability(*data, num_images=5, visible_first=True)
    assert np.nanmax(np.abs(after - before)) > 0.01
    single = location_instability(
        *(x.astype(np.float32) for x in data), num_images=5, visible_first=True
    )
    np.testing.assert_allclose(single, before, rtol=1e-5)


def test_by_hand():
    # Distances of 0.3 and 0.5 to the one landmark, 0 and 0 to the other.
    positions = np.array([[[0.1, 0.5]], [[0.2, 0.5]]])
    landmarks = np.array([[[0.4, 0.5], [0.1, 0.5]], [[0.7, 0.5], [0.2, 0.5]]])
    found = location_instability(positions, np.ones((2, 1)), landmarks)
    np.testing.assert_allclose(found, [0.2 / np.sqrt(2) / np.sqrt(2) / 2])


def test_a_node_fixed_to_the_object_has_none():
    rng = np.random.default_rng(1)
    landmarks = rng.uniform(0.3, 0.7, (9, 1, 2))
    positions = landmarks + np.array([[[0.1, -0.2]]])
    found = location_instability(positions, rng.uniform(size=(9, 1)), landmarks)
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_no_landmark_with_two_images_is_no_number():
    positions, scores, landmarks = case(images=3)
    landmarks[1:] = np.nan
    assert np.isnan(location_instability(positions, scores, landmarks)).all()
    found = instability_interval(positions, scores, landmarks, num_draws=3)
    assert np.isnan(found.mean)
    assert np.isnan(found.low)


def test_of_the_strongest_nodes_alone():
    data = case()
    whole = location_instability(*data, num_images=5)
    found = location_instability(*data, num_images=5, num_units=2)
    strength = np.sort(data[1], axis=0)[-5:].mean(0)
    chosen = np.argsort(-strength, kind="stable")[:2]
    assert set(np.flatnonzero(~np.isnan(found))) == set(chosen)
    np.testing.assert_array_equal(found[chosen], whole[chosen])


@pytest.mark.parametrize("visible_first", [False, True])
@pytest.mark.parametrize("num_units", [None, 3])
def test_draws_are_what_resampled_images_give(visible_first, num_units):
    positions, scores, landmarks = case(images=30)
    options = {
        "num_images": 6,
        "visible_first": visible_first,
        "num_units": num_units,
    }
    found = instability_interval(
        positions, scores, landmarks, num_draws=5, seed=3, **options
    )
    rng = np.random.default_rng(3)
    for draw in found.draws:
        rows = np.sort(rng.integers(30, size=30))
        again = location_instability(
            positions[rows], scores[rows], landmarks[rows], **options
        )
        assert draw == pytest.approx(np.nanmean(again), rel=1e-12)
    whole = location_instability(positions, scores, landmarks, **options)
    assert found.mean == pytest.approx(np.nanmean(whole))
    assert found.low < found.mean < found.high


def test_draws_spread_as_other_images_do():
    rng = np.random.default_rng(0)

    def images():
        positions = rng.uniform(size=(100, 20, 2))
        return positions, rng.uniform(size=(100, 20)), rng.uniform(size=(100, 1, 2))

    means = [np.nanmean(location_instability(*images())) for _ in range(100)]
    spreads = [instability_interval(*images(), num_draws=40).draws for _ in range(10)]
    # 100 values give a standard deviation to 7 %, 400 in 10 groups to 4 %: beyond
    # four of their sums in one case of many thousands.
    ratio = np.std(spreads, axis=1).mean() / np.std(means)
    assert 0.65 < ratio < 1.35


def test_pairs_of_draws_make_the_interval_of_a_ratio():
    positions, scores, landmarks = case(images=30)
    a = instability_interval(positions, scores, landmarks, num_draws=20)
    b = instability_interval(positions, scores, landmarks, num_draws=20)
    assert interval(a.mean / b.mean, a.draws / b.draws)[:3] == (1.0, 1.0, 1.0)


def test_many_nodes_take_seconds():
    rng = np.random.default_rng(0)
    positions = rng.uniform(size=(60, 20_000, 2)).astype(np.float32)
    scores = rng.uniform(size=(60, 20_000)).astype(np.float32)
    landmarks = rng.uniform(size=(60, 3, 2))
    start = time.process_time()
    location_instability(positions, scores, landmarks)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"landmarks": np.full((2, 1, 2), 7.0)}, "`landmarks` run from 7 to 7"),
        ({"landmarks": np.zeros((3, 1, 2))}, "i v 2, i v and i k 2"),
        ({"scores": np.full((2, 1), np.nan)}, "are not finite"),
        ({"positions": np.full((2, 1, 2), np.inf)}, "are not finite"),
        ({"num_images": 1}, "`num_images`=1; it must be at least 2"),
        ({"num_units": 5}, "`num_units`=5, but there are 1 nodes"),
    ],
)
def test_errors(change, match):
    given = {
        "positions": np.zeros((2, 1, 2)),
        "scores": np.ones((2, 1)),
        "landmarks": np.zeros((2, 1, 2)),
    } | change
    with pytest.raises(ValueError, match=match):
        location_instability(**given)


def test_confidence_must_be_a_share():
    with pytest.raises(ValueError, match="`confidence`=95; it must be between 0 and 1"):
        interval(1.0, np.ones(3), confidence=95)
