import math

import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import graph_using as oracle
from xattr.graph._graph import Features
from xattr.graph._purity import filter_purity, landmark_discs, part_purity


def features(levels):
    return Features(jnp.asarray(levels), jnp.ones(levels.shape[-1]))


def test_discs_hold_the_pixels_near_a_landmark():
    landmarks = np.array([[[0.3, 0.7], [np.nan, np.nan]]])
    found = landmark_discs(landmarks, size=(8, 12), radius=0.25)
    assert oracle.pixels(found[0, 0]) == oracle.disc((0.3, 0.7), (8, 12), 0.25)
    assert not found[0, 1].any()


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6])
def test_part_purity_equals_a_loop_over_pixels(threshold):
    rng = np.random.default_rng(0)
    masks = landmark_discs(rng.uniform(size=(6, 2, 2)), size=(8, 12), radius=0.3)
    masks[0, 1] = masks[3] = False
    # Some nodes are beyond the border.
    positions = rng.uniform(-0.1, 1.1, (6, 5, 2))
    scores = rng.integers(0, 3, (6, 5)).astype(float)
    options = {"num_images": 4, "radius": 0.3, "threshold": threshold}
    found = part_purity(positions, scores, masks, **options)
    slow = oracle.part_purity(positions, scores, masks, *options.values())
    np.testing.assert_allclose(found, slow)
    assert 0 < found.max()


def test_overlap_of_two_discs_is_that_of_two_circles():
    # Two circles of radius r, a apart, have 2 r^2 acos(a / 2r) - a/2 sqrt(4r^2 - a^2)
    # in common.
    r, a = 0.2, 0.15
    both = 2 * r**2 * math.acos(a / (2 * r)) - a / 2 * math.sqrt(4 * r**2 - a**2)
    true = both / (2 * math.pi * r**2 - both)
    masks = landmark_discs(np.array([[[0.5, 0.5]]]), size=(400, 400), radius=r)
    there = np.array([[[0.5, 0.5 + a]]])
    for slack, purity in ((-0.01, 1), (0.01, 0)):
        found = part_purity(
            there, np.ones((1, 1)), masks, radius=r, threshold=true + slack
        )
        assert found.tolist() == [purity]


def test_a_node_on_its_part_is_pure_and_one_elsewhere_is_not():
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(0.3, 0.7, (5, 1, 2))
    masks = landmark_discs(landmarks, size=(32, 32))
    positions = np.concatenate([landmarks, np.zeros((5, 1, 2))], axis=1)
    assert part_purity(positions, np.ones((5, 2)), masks).tolist() == [1, 0]


@pytest.mark.parametrize("probability", [0.05, 0.3])
def test_filter_purity_equals_a_loop_over_pixels(probability):
    rng = np.random.default_rng(1)
    levels = rng.integers(0, 40, (5, 4, 3, 6)).astype(np.uint8)
    # A part is where some channel is active, so that it is found now and then.
    masks = levels[..., :2].repeat(2, 1).repeat(3, 2).transpose(0, 3, 1, 2) > 34
    masks ^= rng.uniform(size=masks.shape) < 0.1
    masks[2, 0] = masks[:3, 1] = False
    found = filter_purity(
        features(levels), masks, probability=probability, threshold=0.15
    )
    slow = oracle.filter_purity(levels, masks, probability, 0.15)
    np.testing.assert_allclose(found, slow)
    assert 0 < found.max() <= 1


def test_a_part_that_is_never_seen_does_not_count():
    levels = np.zeros((2, 2, 2, 1), np.float32)
    levels[:, 0, 0] = 1
    masks = np.zeros((2, 2, 2, 2), bool)
    masks[:, 0, 0, 0] = True
    found = filter_purity(features(levels), masks, probability=0.3)
    assert found.tolist() == [1]


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"masks": np.ones((2, 1, 4, 4))}, TypeError, "`masks` is float64"),
        ({"masks": np.ones((3, 1, 4, 4), bool)}, ValueError, "for 2 images"),
        ({"positions": np.zeros((2, 2, 2))}, ValueError, "i v 2 and i v"),
        ({"scores": np.full((2, 1), np.nan)}, ValueError, "not finite"),
        ({"radius": 0.0}, ValueError, "`radius`=0.0; it must be positive"),
        ({"threshold": 1.0}, ValueError, r"`threshold`=1.0; it must be in \[0, 1\)"),
        ({"num_images": 0}, ValueError, "`num_images`=0"),
    ],
)
def test_errors_of_nodes(change, kind, match):
    given = {
        "positions": np.zeros((2, 1, 2)),
        "scores": np.ones((2, 1)),
        "masks": np.ones((2, 1, 4, 4), bool),
    } | change
    with pytest.raises(kind, match=match):
        part_purity(**given)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"masks": np.ones((2, 1, 5, 4), bool)}, "`masks` are of 5 x 4 pixels"),
        ({"masks": np.zeros((2, 1, 4, 4), bool)}, "`masks` are True nowhere"),
        ({"probability": 0.0}, "`probability`=0.0 must be in"),
    ],
)
def test_errors_of_filters(change, match):
    given = {
        "features": features(np.ones((2, 2, 2, 1), np.uint8)),
        "masks": np.ones((2, 1, 4, 4), bool),
    } | change
    with pytest.raises(ValueError, match=match):
        filter_purity(**given)
