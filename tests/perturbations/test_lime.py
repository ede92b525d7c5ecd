import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.oracles import perturbations_features as oracles
from tests.perturbations import games


@pytest.mark.parametrize(
    ("width", "alpha"), [(0.25, 1.0), apart(1.0, 0.01), apart(0.1, 5.0)]
)
def test_it_is_the_weighted_ridge_regression(key, width, alpha):
    with jax.enable_x64(True):
        model, x, fill = games.case()
        options = {"num_samples": 50, "kernel_width": width, "alpha": alpha}
        found = games.by_cell(
            xattr.lime(
                model,
                x[:1],
                [1],
                grid=games.GRID,
                baseline=fill[:1],
                key=key,
                **options,
            )
        )[0]
        shown = games.coalitions(xattr.lime, num=games.NUM, **options)
        play = games.game(model, x[0], fill[0], 1)
        expected = oracles.lime([play(z) for z in shown], shown, width, alpha)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)


def test_samples_are_the_image_and_then_fair_coins():
    shown = games.coalitions(xattr.lime, num=8, num_samples=501)
    assert shown[0].all()
    # 4000 coins: five standard deviations.
    assert abs(shown[1:].mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)
    assert len(np.unique(shown, axis=0)) > 200


def test_without_a_baseline_features_are_hidden_by_their_own_mean(key):
    x = jax.random.normal(key, (2, 4, 6, 3))
    means = x.reshape(2, 2, 2, 2, 3, 3).mean((2, 4), keepdims=True)
    means = jnp.broadcast_to(means, (2, 2, 2, 2, 3, 3)).reshape(x.shape)
    model = games.additive(jax.random.normal(jax.random.key(1), (1, 4, 6, 3)))
    method = functools.partial(xattr.lime, grid=2, num_samples=40, key=key)
    by_default, explicit = method(model, x), method(model, x, baseline=means)
    np.testing.assert_allclose(by_default, explicit, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_linear_score_without_a_penalty_is_found_exactly(key):
    weights = jax.random.normal(key, (1, 2, 3, 3))
    x = jax.random.normal(jax.random.key(1), (2, 2, 3, 3))
    found = xattr.lime(
        games.additive(weights),
        x,
        grid=(2, 3),
        num_samples=100,
        alpha=1e-5,
        baseline=0.5,
        key=key,
    )
    expected = (weights * (x - 0.5)).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_empty_segments_count_in_no_distance(key):
    """All but one are empty: without them the distance is 0 or 1."""
    segments = jnp.zeros((1, 9, 1, 2), bool).at[0, 0].set(True)
    found = xattr.lime(
        games.additive(1.0),
        jnp.ones((1, 1, 2, 1)),
        segments=segments,
        num_samples=200,
        baseline=0.0,
        kernel_width=0.02,
        alpha=1e-4,
        key=key,
    )
    # Hidden samples have a weight of exp(-1250), so that nothing is left to fit.
    assert float(jnp.abs(found).max()) < 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "`num_samples`=0; it must be at least 1"),
        ({"kernel_width": 0.0}, "`kernel_width`=0.0; it must be positive"),
        ({"alpha": -1.0}, "`alpha`=-1.0; it must be positive: `alpha=1.0`"),
        ({"key": None}, "`key` is None"),
    ],
)
def test_what_it_refuses(key, arguments, message):
    with pytest.raises(ValueError, match=message):
        xattr.lime(
            games.additive(1.0),
            jnp.ones((1, 2, 2, 1)),
            **{"grid": 2, "key": key, **arguments},
        )
