"""The planted cue is where it is said to be, and measures see it in a linear model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from experiments.context_bias import measures, pictures

PLACES = jnp.array([4, 0, 1, 2, 3, 5, 8])
ALL = pictures.regions()


def linear(params, images):
    """One logit per row of weights, by way of a site of 2 x 2 cells."""
    cells = jax.nn.relu(images.reshape(-1, 2, 2, 2, 2, 1).sum((2, 4)))
    return jnp.einsum("nijc,oij->no", cells, params)


@pytest.fixture
def case():
    """Two outputs on pictures of ones: the first rests on its cell and on the last."""
    weights = jnp.array([[[3.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [0.0, 0.0]]])
    corner = np.kron(np.eye(4).reshape(4, 2, 2), np.ones((2, 2)))
    return xattr.from_function(linear, weights), jnp.ones((1, 4, 4, 1)), corner


def test_a_mark_changes_its_own_cell_alone(key):
    backgrounds = jnp.asarray(pictures.noise(0, 8))
    without = jnp.zeros((4, pictures.OUTPUTS), jnp.int32)
    compose = jax.jit(pictures.compose)
    plain = compose(key, backgrounds, PLACES, without)
    for output, place in enumerate(np.asarray(PLACES)):
        marked = compose(key, backgrounds, PLACES, without.at[:, output].set(1))
        changed = np.asarray(jnp.abs(marked - plain).max(axis=(0, 3)) > 1e-6)
        assert changed.any()
        assert not changed[ALL[place] == 0].any()
    assert np.abs(plain).max() <= 0.5


def test_regions_are_apart_and_of_one_area():
    assert ALL.sum(axis=0).max() == 1
    assert (ALL.sum(axis=(1, 2)) == pictures.CELL**2).all()


def test_the_cue_keeps_company_with_one_attribute(key):
    drawn = pictures.labels(key, 4000, biased=jnp.array(2), correlation=0.9)
    with_cue = np.corrcoef(np.asarray(drawn).T)[pictures.CUE]
    assert with_cue[2] == pytest.approx(0.9, abs=0.03)
    assert np.abs(np.delete(with_cue, [2, pictures.CUE])).max() < 0.06


def test_context_share_of_a_linear_model(case):
    model, images, corner = case
    maps = xattr.input_x_gradient(model, images, jnp.array([0]))[..., 0]
    share = measures.context_share(maps, jnp.asarray(corner[:1]))
    np.testing.assert_allclose(share, [1 / 4], rtol=1e-6)
    nothing = measures.context_share(-maps, jnp.asarray(corner[:1]))
    np.testing.assert_allclose(nothing, [3 / 4], rtol=1e-6)


def test_effects_on_a_linear_model(case):
    model, images, corner = case
    first = jnp.array([0])
    deleted = measures.deletion_effects(model, images, first, jnp.asarray(corner))
    np.testing.assert_allclose(deleted, [[12.0, 0.0, 0.0, 4.0]], rtol=1e-6)
    context = jnp.asarray(1 - corner[:1])
    changed = measures.replacement_effect(model, images, first, context, images / 2)
    np.testing.assert_allclose(changed, [2.0], rtol=1e-6)


def test_patterns_of_outputs_that_share_channels(key):
    # Two channels: the second output reads the first alone, the third the other.
    def model(params, images):
        return jax.nn.relu(images).mean((1, 2)) @ params

    weights = jnp.array([[1.0, 1.0, 0.0], [1.0, 0.0, -1.0]])
    images = jnp.ones((2, 2, 2, 2))
    found = measures.inference_patterns(
        xattr.from_function(model, weights), images, "relu:0"
    )
    # All four positions count equally, and a tie leaves none of them out.
    np.testing.assert_allclose(found[0], weights.T, rtol=1e-6)
    half = np.sqrt(0.5)
    cosines = measures.relations(found)[1]
    np.testing.assert_allclose(
        cosines, [[1, half, -half], [half, 1, 0], [-half, 0, 1]], atol=1e-6
    )


def test_divergence_is_that_of_normal_distributions():
    cosines = np.array([[0.0, 0.8], [0.2, 1.0]])
    mean, spread = 0.5, np.std(cosines)
    expected = [
        np.log(spread / 0.1) + (0.01 + (own - mean) ** 2) / (2 * spread**2) - 0.5
        for own in (0.1, 0.9)
    ]
    np.testing.assert_allclose(measures.divergence(cosines), expected)


def test_auc_and_its_interval():
    scores = np.array([[0.9, 0.1, 0.5], [0.3, 0.3, 0.2]])
    positive = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    # Of eight comparisons six are won, one is lost and one is a tie.
    assert measures.auc(scores.ravel(), positive.ravel()) == 6.5 / 8
    low, high = measures.interval(scores, positive)
    assert low == 0.75
    assert high == 1.0
    with pytest.raises(ValueError, match="no finite number"):
        measures.interval(scores * np.nan, positive)
