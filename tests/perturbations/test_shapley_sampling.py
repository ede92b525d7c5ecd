import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.oracles import perturbations_features as oracles
from tests.perturbations import games


def test_one_order_is_the_walk_along_it(key):
    """Gains that are powers of a place tell the order, which the oracle then walks."""
    with jax.enable_x64(True):
        model, x, fill = games.case()
        found = games.by_cell(
            xattr.shapley_sampling(
                model,
                x[:1],
                [1],
                grid=games.GRID,
                num_permutations=1,
                baseline=fill[:1],
                key=key,
            )
        )[0]
        shown = games.coalitions(
            xattr.shapley_sampling, num=games.NUM, num_permutations=1
        )
        order = shown[: games.NUM - 1].sum(0).argsort()[::-1]
        play = games.game(model, x[0], fill[0], 1)
        np.testing.assert_allclose(found, oracles.along(play, order), atol=1e-12)


def test_chains_show_one_feature_more_each_time():
    shown = games.coalitions(xattr.shapley_sampling, num=5, num_permutations=30)
    np.testing.assert_array_equal(shown[-2:].sum(1), [0, 5])
    chains = shown[:-2].reshape(30, 4, 5)
    np.testing.assert_array_equal(chains.sum(2), np.tile([1, 2, 3, 4], (30, 1)))
    assert (np.diff(chains, axis=1) >= 0).all()
    assert len({tuple(chain.argmax(0)) for chain in chains}) > 20


def test_values_sum_to_the_change_of_the_score(key):
    with jax.enable_x64(True):
        model, x, fill = games.case()
        found = xattr.shapley_sampling(
            model, x, [1, 3], grid=4, num_permutations=3, baseline=fill, key=key
        )
        rows = jnp.arange(2), jnp.array([1, 3])
        change = model(x)[rows] - model(fill)[rows]
        np.testing.assert_allclose(found.sum((1, 2, 3)) / 9, change, rtol=1e-10)


def test_on_an_additive_score_every_order_gives_the_same(key):
    weights = jax.random.normal(key, (1, 4, 6, 3))
    x = jax.random.normal(jax.random.key(1), (2, 4, 6, 3))
    found = xattr.shapley_sampling(
        games.additive(weights), x, grid=(4, 6), num_permutations=2, key=key
    )
    expected = (weights * x).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_many_orders_approach_the_shapley_values():
    """Four standard errors from the mean over all orders: wrong once in 10^4 runs."""
    with jax.enable_x64(True):
        model, x, fill = games.case()
        keys = jax.random.split(jax.random.key(0), 200)
        runs = games.by_cell(
            xattr.shapley_sampling(
                model,
                jnp.broadcast_to(x[:1], (200, *x.shape[1:])),
                jnp.ones(200, int),
                grid=games.GRID,
                num_permutations=4,
                baseline=fill[:1],
                key=keys,
            )
        )
        exact = oracles.shapley(games.game(model, x[0], fill[0], 1), games.NUM)
        error = runs.std(0) / np.sqrt(len(runs))
        assert (error > 0).all()
        assert (np.abs(runs.mean(0) - exact) < 4 * error).all()


def test_a_single_feature_gets_everything(key):
    x = jnp.full((1, 2, 2, 1), 3.0)
    found = xattr.shapley_sampling(games.additive(1.0), x, grid=1, key=key)
    assert found.ravel().tolist() == [12.0] * 4


def test_what_it_refuses(key):
    x = jnp.ones((1, 2, 2, 1))
    with pytest.raises(ValueError, match="`num_permutations`=0; it must be at least 1"):
        xattr.shapley_sampling(games.additive(1.0), x, num_permutations=0, key=key)
    with pytest.raises(ValueError, match="`key` is None"):
        xattr.shapley_sampling(games.additive(1.0), x, grid=1)
