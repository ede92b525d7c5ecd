"""Part proposals by gradients, and constellations of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.networks import tiny_convnet
from tests.oracles import graph_constellation as oracle
from xattr.graph._constellation import (
    fit_constellation,
    place_constellation,
)
from xattr.graph._graph import Site
from xattr.graph._part_proposals import Proposals, part_proposals
from xattr.program import at_site


@pytest.fixture(scope="module")
def model():
    """Two convolutions."""
    return tiny_convnet(jax.random.key(1))


@pytest.fixture(scope="module")
def images():
    """Three of them."""
    return jax.random.normal(jax.random.key(2), (3, 12, 12, 3))


def test_proposals_are_where_the_channel_depends_most(model, images):
    found = part_proposals(model, images, site="relu:1", stddev=1.0)
    hidden = at_site(model, "relu:1")
    assert found.positions.shape == (3, 6, 2)
    for i, d in np.ndindex(3, 6):

        def total(image, d=d):
            return hidden(image[None])[0, ..., d].sum()

        slope = np.asarray(jax.grad(total)(images[i]), float)
        np.testing.assert_allclose(
            found.positions[i, d], oracle.proposal(slope, 1.0), atol=1e-6
        )
    highest = hidden(images).max((1, 2))
    np.testing.assert_allclose(found.scores, highest, rtol=1e-5)


def test_proposals_do_not_depend_on_chunks_or_other_images(model, images):
    whole = part_proposals(model, images, site="relu:1")
    apart = part_proposals(model, images[1:2], site="relu:1", chunk_size=1)
    np.testing.assert_array_equal(whole.positions[1:2], apart.positions)


def test_a_channel_without_gradient_has_no_position():
    dark = -jnp.ones((1, 3, 3, 1))
    found = part_proposals(jax.nn.relu, dark, site="relu:0", axes="nhwc")
    assert jnp.isnan(found.positions).all()
    assert found.scores.tolist() == [[0.0]]


def planted(seed, num_images=40, num_channels=12, jitter=0.005):
    """Channels 0 to 4 move together, in two views that are mirrored; others don't."""
    rng = np.random.default_rng(seed)
    shape = np.array([[0, 0], [0.05, 0.2], [0.2, 0.1], [-0.1, 0.15], [-0.2, -0.15]])
    views = rng.integers(2, size=num_images)
    shapes = np.stack([shape, shape * [1, -1]])[views]
    anchors = rng.uniform(0.3, 0.7, size=(num_images, 1, 2))
    positions = rng.uniform(size=(num_images, num_channels, 2))
    noise = jitter * rng.normal(size=shapes.shape)
    positions[:, :5] = anchors + shapes + noise
    return positions.astype(np.float32), views


SETTING = {"num_views": 2, "num_parts": 5, "num_visible": 4, "num_restarts": 20}


@pytest.fixture(scope="module")
def found():
    """The model of planted parts."""
    positions, views = planted(0)
    fitted = fit_constellation(positions, key=jax.random.key(0), **SETTING)
    return positions, views, fitted


def test_planted_parts_and_views_are_found(found):
    _, views, fitted = found
    assert sorted(fitted.channels.tolist()) == [0, 1, 2, 3, 4]
    assert fitted.parts.sum(0).tolist() == [2] * 5 + [0] * 7
    same = (np.asarray(fitted.views) == views).mean()
    assert same in (0.0, 1.0)
    assert fitted.errors[-1] < 2 * 2 * 0.005**2
    # As far apart as planted, in the view that keeps the first image's side.
    view = fitted.views[int(np.argmin(views))]
    between = fitted.offsets[view, 1] - fitted.offsets[view, 0]
    np.testing.assert_allclose(between, [0.05, 0.2], atol=0.005)


def test_the_error_is_what_the_model_says(found):
    positions, _, fitted = found
    longer = fit_constellation(
        positions, num_rounds=40, key=jax.random.key(0), **SETTING
    )
    error = oracle.error(
        positions.astype(float),
        np.asarray(longer.anchors),
        np.asarray(longer.offsets),
        np.asarray(longer.views),
        np.asarray(longer.visible),
    )
    np.testing.assert_allclose(longer.errors[-1], error, rtol=1e-4)
    assert fitted.visible.sum(1).tolist() == [4] * 40


@pytest.mark.parametrize("seed", [1, 2])
def test_views_and_visible_parts_are_the_best(seed):
    positions, _ = planted(seed, num_images=8, num_channels=8, jitter=0.1)
    fitted = fit_constellation(
        positions,
        num_views=3,
        num_parts=4,
        num_visible=2,
        num_rounds=3,
        key=jax.random.key(seed),
    )
    anchors, offsets, parts = map(
        np.asarray, (fitted.anchors, fitted.offsets, fitted.parts)
    )
    for i in range(8):
        view, visible = oracle.best_view(positions[i], anchors[i], offsets, parts, 2)
        assert fitted.views[i] == view
        assert set(np.flatnonzero(fitted.visible[i])) == visible


@pytest.mark.parametrize("seed", range(4))
def test_errors_never_rise(seed):
    positions, _ = planted(seed, jitter=0.15)
    positions[np.random.default_rng(seed).random(positions.shape[:2]) < 0.3] = np.nan
    fitted = fit_constellation(
        positions,
        num_views=3,
        num_parts=6,
        num_visible=3,
        num_restarts=1,
        key=jax.random.key(seed),
    )
    errors = np.asarray(fitted.errors)
    assert (np.diff(errors) <= 1e-6 * errors[:-1]).all()
    assert errors[-1] < errors[0]
    assert not (np.asarray(fitted.visible) & np.isnan(positions).any(-1)).any()


def test_the_best_of_the_restarts_is_kept():
    positions, _ = planted(3, jitter=0.1)
    setting = {**SETTING, "num_rounds": 3, "key": jax.random.key(4)}
    one = fit_constellation(positions, **{**setting, "num_restarts": 1})
    many = fit_constellation(positions, **setting)
    again = fit_constellation(positions, **setting)
    assert many.errors[-1] < one.errors[-1]
    np.testing.assert_array_equal(many.anchors, again.anchors)


def test_channels_may_come_in_any_order(found):
    positions, _, fitted = found
    order = np.random.default_rng(0).permutation(positions.shape[1])
    fitted = fit_constellation(positions[:, order], key=jax.random.key(0), **SETTING)
    assert sorted(order[np.asarray(fitted.channels)]) == [0, 1, 2, 3, 4]


def test_placement_is_in_cells_of_the_site(found):
    positions, _, fitted = found
    scores = np.arange(positions.shape[0] * 12.0).reshape(-1, 12)
    positions[0, int(fitted.channels[0])] = np.nan
    scores[0, int(fitted.channels[0])] = 0
    proposals = Proposals(jnp.asarray(positions), jnp.asarray(scores))
    site = Site("conv", 7, 14, 12, 1)
    placement = place_constellation(fitted, proposals, site)
    shares = site.fractions(np.asarray(placement.positions))
    expected = positions[:, np.asarray(fitted.channels)]
    np.testing.assert_allclose(shares[1:], expected[1:], atol=1e-6)
    assert placement.positions[0, 0].tolist() == [0, 0]
    np.testing.assert_array_equal(placement.scores, scores[:, fitted.channels])
    few = Proposals(proposals.positions[:, :3], proposals.scores[:, :3])
    with pytest.raises(ValueError, match="`proposals` are of 3 channels"):
        place_constellation(fitted, few, site)


def test_errors():
    key, positions = jax.random.key(0), np.zeros((2, 4, 2), np.float32)
    with pytest.raises(ValueError, match="num_parts=4, num_visible=4"):
        fit_constellation(positions, key=key)
    with pytest.raises(ValueError, match="`num_views`=0"):
        fit_constellation(positions, num_views=0, key=key)
    with pytest.raises(ValueError, match="of 0 images"):
        fit_constellation(positions[:0], key=key)
    with pytest.raises(ValueError, match="infinite"):
        fit_constellation(positions + np.inf, key=key)
    with pytest.raises(ValueError, match="`stddev`=0"):
        part_proposals(jax.nn.relu, jnp.ones((1, 2, 2, 1)), site="relu:0", stddev=0)
    with pytest.raises(ValueError, match="`images` has shape"):
        part_proposals(jax.nn.relu, jnp.ones((2, 2)), site="relu:0")
