"""Detectors of patches that are in some images and not in others."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import graph_linear_svm as oracle
from xattr.graph._discriminative_patches import (
    DiscriminativePatches,
    detect_patches,
    fit_discriminative_patches,
)
from xattr.graph._graph import Features
from xattr.graph._k_means import k_means
from xattr.graph._linear_svm import linear_svm


@pytest.mark.parametrize("cost", [pytest.param(0.1, marks=pytest.mark.slow), 3.0])
def test_the_margin_is_the_widest(cost):
    rng = np.random.default_rng(0)
    positive = rng.normal(0.5, 1, (6, 5)).astype(np.float32)
    negative = rng.normal(-0.5, 1, (40, 5)).astype(np.float32)
    counted = jnp.array([1.0, 1, 0, 1, 1, 0])
    plane = linear_svm(jnp.asarray(positive), jnp.asarray(negative), counted, cost=cost)
    weights, bias = oracle.linear_svm(positive[[0, 1, 3, 4]], negative, cost)
    np.testing.assert_allclose(plane.weights, weights, atol=2e-3)
    np.testing.assert_allclose(plane.bias, bias, atol=2e-3)


@pytest.mark.slow
def test_machines_are_trained_at_once_as_one_by_one():
    positive = jax.random.normal(jax.random.key(0), (3, 4, 5)) + 1
    negative = jax.random.normal(jax.random.key(1), (30, 5)) - 1
    ones = jnp.ones(4)
    train = jax.jit(functools.partial(linear_svm, cost=0.5))
    together = jax.vmap(train, (0, None, None))(positive, negative, ones)
    for k in range(3):
        alone = train(positive[k], negative, ones)
        np.testing.assert_allclose(together.weights[k], alone.weights, atol=1e-3)


def test_clusters_are_nearest_and_their_error_never_rises():
    points = jax.random.normal(jax.random.key(0), (60, 3))
    found = k_means(points, num_clusters=7, num_rounds=8, key=jax.random.key(1))
    away = np.linalg.norm(
        np.asarray(points)[:, None] - np.asarray(found.centers)[None], axis=-1
    )
    np.testing.assert_array_equal(found.labels, away.argmin(1))
    np.testing.assert_allclose(found.squares, away.min(1) ** 2, rtol=1e-4)
    assert (np.diff(found.errors) <= 1e-6).all()
    assert found.errors.shape == (9,)


def test_seeds_are_in_all_heaps():
    heaps = 100.0 * jnp.eye(6)
    points = jnp.repeat(heaps, 5, axis=0)
    found = k_means(points, num_clusters=6, num_rounds=0, key=jax.random.key(0))
    assert sorted(np.asarray(found.centers).argmax(1).tolist()) == list(range(6))
    assert float(found.errors[-1]) == 0


def planted(seed, num_images=24, side=5, channels=8):
    """Two parts at random cells of either half of each image, among what all show."""
    rng = np.random.default_rng(seed)
    background = 0.3 * rng.random((2, num_images, side, side, channels))
    # What positive and negative images share: never the last two channels.
    kinds = rng.integers(channels - 2, size=background.shape[:-1])
    np.put_along_axis(background, kinds[..., None], 1.0, axis=-1)
    positive, negative = background
    cells = np.empty((num_images, 2, 2), int)
    for i, part in np.ndindex(num_images, 2):
        row, column = rng.integers(side), rng.integers(2) + 3 * part
        cells[i, part] = row, column
        positive[i, row, column] = 0.1 * rng.random(channels)
        positive[i, row, column, channels - 2 + part] = 1.0
    step = np.full(channels, 1 / 255, np.float32)

    def features(values):
        return Features(
            jnp.asarray(np.rint(255 * values), jnp.uint8), jnp.asarray(step)
        )

    return features(positive), features(negative), cells


SETTING = {"num_patches": 240, "num_negatives": 200}


@pytest.fixture(scope="module")
def found():
    """Detectors of planted parts."""
    positive, negative, cells = planted(0)
    patches = fit_discriminative_patches(
        positive, negative, key=jax.random.key(0), **SETTING
    )
    return positive, cells, patches


@pytest.mark.slow
def test_the_best_detectors_are_of_what_was_planted(found):
    _, _, patches = found
    strongest = np.asarray(patches.weights)[:, 0, 0].argmax(-1)
    assert set(strongest[:2]) <= {6, 7}
    rank = np.asarray(patches.purity + patches.discriminativeness)
    assert (np.diff(rank) <= 0).all()
    planted = np.isin(strongest, [6, 7])
    share = np.asarray(patches.discriminativeness)
    assert share[planted].min() > 0.65 > np.max(share[~planted], initial=0)
    assert patches.purity[planted].min() > np.max(patches.purity[~planted], initial=-1)
    assert set(strongest[planted]) == {6, 7}


@pytest.mark.slow
def test_detectors_find_the_parts_in_new_images(found):
    _, _, patches = found
    features, _, cells = planted(1)
    placement = detect_patches(patches, features)
    strongest = np.asarray(patches.weights)[:, 0, 0].argmax(-1)
    for part in range(2):
        best = int(np.argmax(strongest == 6 + part))
        np.testing.assert_array_equal(placement.positions[:, best], cells[:, part])


@pytest.mark.slow
def test_keys_and_orders(found):
    positive, _, patches = found
    _, negative, _ = planted(0)
    again = fit_discriminative_patches(
        positive, negative, key=jax.random.key(0), **SETTING
    )
    np.testing.assert_array_equal(again.weights, patches.weights)
    # Other units of the features change nothing.
    louder = Features(positive.levels, 4 * positive.step)
    hushed = Features(negative.levels, 4 * negative.step)
    same = fit_discriminative_patches(louder, hushed, key=jax.random.key(0), **SETTING)
    np.testing.assert_allclose(same.purity, patches.purity, atol=1e-3)


def test_patches_of_several_cells():
    weights = jnp.zeros((1, 2, 2, 1)).at[0, :, :, 0].set(jnp.array([[0, 3.0], [4, 0]]))
    ones = jnp.ones(1)
    patches = DiscriminativePatches(weights, -ones, ones, ones)
    levels = jnp.zeros((1, 3, 4, 1)).at[0, 1:, 2:, 0].set(jnp.array([[0, 3], [4.0, 0]]))
    placement = detect_patches(patches, Features(levels, ones))
    assert placement.positions.tolist() == [[[1.5, 2.5]]]
    np.testing.assert_allclose(placement.scores, [[(9 + 16) / 5 - 1]], rtol=1e-6)


@pytest.mark.slow
def test_two_by_two_patches_are_learnt():
    positive, negative, cells = planted(2)
    patches = fit_discriminative_patches(
        positive,
        negative,
        size=2,
        num_rounds=2,
        num_patches=160,
        num_negatives=100,
        key=jax.random.key(0),
    )
    assert patches.weights.shape[1:] == (2, 2, 8)
    placement = detect_patches(patches, positive)
    away = np.abs(np.asarray(placement.positions)[:, 0, None] - cells).max(-1)
    # The patch has one of the parts among its four cells.
    assert (away.min(1) <= 0.5).mean() > 0.8


@pytest.mark.slow
def test_errors(found):
    positive, _, patches = found
    _, negative, _ = planted(0)
    fit = functools.partial(fit_discriminative_patches, key=jax.random.key(0))
    with pytest.raises(ValueError, match="`num_patches`=2000"):
        fit(positive, negative)
    with pytest.raises(ValueError, match="`num_negatives`=400"):
        fit(positive, negative, num_patches=100, num_negatives=400)
    with pytest.raises(ValueError, match="`size=5`"):
        fit(positive, negative, size=6)
    with pytest.raises(ValueError, match="`cost`=0"):
        fit(positive, negative, cost=0)
    with pytest.raises(ValueError, match="from 3 to 10"):
        fit(positive, negative, num_top=2)
    with pytest.raises(ValueError, match="`negative` has 5 images"):
        fit(positive, Features(negative.levels[:5], negative.step))
    other = Features(negative.levels[..., :3], negative.step[:3])
    with pytest.raises(ValueError, match="must be of the same site"):
        fit(positive, other)
    with pytest.raises(ValueError, match="has 3 channels"):
        detect_patches(patches, other)
