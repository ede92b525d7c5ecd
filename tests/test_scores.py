import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from xattr._scores import logit

OUTPUTS = np.array([[2.0, 1.5, -1.0, 3.0, 0.5], [0.1, 0.2, 0.4, -2.0, 5.0]])


def finer(outputs, target, num_rivals, strength):
    """One image's score, from the definition."""
    distance = np.abs(outputs - outputs[target])
    rivals = [k for k in np.argsort(distance, kind="stable") if k != target]
    p = np.exp(outputs) / np.exp(outputs).sum()
    total = weights = 0.0
    for i in rivals[:num_rivals]:
        total += p[i] * (outputs[target] - strength * outputs[i])
        weights += p[i]
    return total / weights


@pytest.mark.parametrize(("num_rivals", "strength"), [(1, 1.0), (3, 1.0), (2, 0.5)])
def test_finer_is_its_definition(num_rivals, strength):
    settings = {"num_rivals": num_rivals, "strength": strength}
    found = xattr.finer(jnp.asarray(OUTPUTS), jnp.array([0, 2]), **settings)
    expected = [finer(o, t, **settings) for o, t in zip(OUTPUTS, (0, 2), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("constant_weights", [True, False])
def test_finer_differentiates_its_weights_only_when_told(constant_weights):
    with jax.enable_x64(True):
        score = functools.partial(xattr.finer, constant_weights=constant_weights)
        outputs = jnp.asarray(OUTPUTS[:1])
        found = jax.grad(lambda o: score(o, jnp.array([0])).sum())(outputs)[0]
        rivals = [1, 3, 4]
        share = np.exp(OUTPUTS[0, rivals]) / np.exp(OUTPUTS[0, rivals]).sum()
        expected = np.zeros(5)
        expected[0], expected[rivals] = 1, -share
        if not constant_weights:
            steps = np.eye(5) * 1e-6
            sides = [
                [finer(OUTPUTS[0] + sign * s, 0, 3, 1.0) for s in steps]
                for sign in (1, -1)
            ]
            expected = (np.array(sides[0]) - np.array(sides[1])) / 2e-6
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_finer_is_finite_where_the_rivals_have_no_probability():
    outputs = jnp.array([[500.0, 1.0, 0.0]])
    score = functools.partial(xattr.finer, num_rivals=2)
    value, slope = jax.value_and_grad(lambda o: score(o, jnp.array([0])).sum())(outputs)
    assert 499 <= value <= 500
    assert jnp.isfinite(slope).all()


@pytest.mark.parametrize("num_rivals", [0, 5])
def test_finer_needs_rivals_and_not_more_than_there_are(num_rivals):
    with pytest.raises(ValueError, match="the model has 5 classes, so that it must be"):
        xattr.finer(jnp.asarray(OUTPUTS), jnp.array([0, 2]), num_rivals=num_rivals)


def test_rest_is_the_logit_plus_the_log_probability():
    outputs, targets = jnp.asarray(OUTPUTS), jnp.array([3, 1])
    probability = xattr.probability(outputs, targets)
    np.testing.assert_allclose(
        xattr.rest(outputs, targets), logit(outputs, targets) + jnp.log(probability)
    )


GRIDS = jnp.arange(24.0).reshape(2, 2, 2, 3)


def test_a_channel_is_its_mean_and_a_unit_itself():
    np.testing.assert_array_equal(xattr.unit(GRIDS, jnp.array([2, 0])), [6.5, 16.5])
    index = jnp.array([[0, 1, 2], [1, 0, 1]])
    np.testing.assert_array_equal(xattr.unit(GRIDS, index), [5, 19])


@pytest.mark.parametrize("index", [[0, 2, 0], [0, 0, 3], [-1, 1, 1]])
def test_no_unit_has_no_number(index):
    found = xattr.unit(GRIDS, jnp.array([index, [0, 0, 1]]))
    assert np.isnan(found[0])
    assert found[1] == 13
    assert np.isnan(xattr.unit(GRIDS, jnp.array([3, 0]))[0])


def test_a_unit_has_an_index_per_axis():
    with pytest.raises(ValueError, match="one channel per image, or a row of 3"):
        xattr.unit(GRIDS, jnp.array([[0, 1], [1, 0]]))
