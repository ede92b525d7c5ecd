import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.oracles import perturbations_features as oracles
from tests.perturbations import games


def test_all_coalitions_give_the_shapley_values():
    with jax.enable_x64(True):
        model, x, fill = games.case()
        found = games.by_cell(
            xattr.kernel_shap(
                model, x, [1, 3], grid=games.GRID, baseline=fill, chunk_size=9
            )
        )
        for i, target in enumerate([1, 3]):
            play = games.game(model, x[i], fill[i], target)
            exact = oracles.shapley(play, games.NUM)
            np.testing.assert_allclose(found[i], exact, rtol=1e-8, atol=1e-11)


def test_drawn_coalitions_give_the_constrained_fit(key):
    with jax.enable_x64(True):
        model, x, fill = games.case()
        found = games.by_cell(
            xattr.kernel_shap(
                model,
                x[:1],
                [1],
                grid=games.GRID,
                num_samples=40,
                baseline=fill[:1],
                key=key,
            )
        )[0]
        shown = games.coalitions(xattr.kernel_shap, num=games.NUM, num_samples=40)
        play = games.game(model, x[0], fill[0], 1)
        scores = [play(z) for z in shown]
        expected = oracles.kernel_shap(scores[:-2], shown[:-2], scores[-2:])
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.slow
def test_coalitions_are_drawn_by_the_shapley_kernel():
    """Chi-squared with 3 degrees of freedom: wrong once in 10^5 runs."""
    num, pairs = 7, 2000
    shown = games.coalitions(xattr.kernel_shap, num=12, num_samples=40)
    np.testing.assert_array_equal(shown[-2:].sum(1), [0, 12])
    assert games.coalitions(xattr.kernel_shap, num=num).shape == (2**num, num)
    images = 2 * pairs // 100
    shown = games.coalitions(
        xattr.kernel_shap, num=num, num_samples=100, num_images=images
    )
    drawn = shown.reshape(images, 102, num)[:, :-2].reshape(-1, num)
    np.testing.assert_array_equal(drawn[::2] + drawn[1::2], 1)
    sizes = drawn[::2].sum(1)
    found = np.array([((sizes == k) | (sizes == num - k)).sum() for k in (1, 2, 3)])
    chances = np.array([1 / (k * (num - k)) for k in (1, 2, 3)])
    expected = pairs * chances / chances.sum()
    assert ((found - expected) ** 2 / expected).sum() < 23
    # Each feature as often as another: five standard deviations.
    share = drawn[::2].mean(0)
    assert np.abs(share - share.mean()).max() < 5 * 0.5 / np.sqrt(pairs)


@pytest.mark.parametrize("num_samples", [7, *map(apart, (1, 2, 200))])
def test_values_sum_to_the_change_of_the_score_however_few_are_drawn(key, num_samples):
    with jax.enable_x64(True):
        model, x, fill = games.case()
        found = xattr.kernel_shap(
            model, x, [1, 3], grid=4, num_samples=num_samples, baseline=fill, key=key
        )
        rows = jnp.arange(2), jnp.array([1, 3])
        change = model(x)[rows] - model(fill)[rows]
        np.testing.assert_allclose(found.sum((1, 2, 3)) / 9, change, rtol=1e-9)


def test_a_score_of_pairs_is_found_exactly_from_draws(key):
    """Complements cancel what acts in pairs: half of each product to each factor."""

    def model(x):
        z = x[:, 0, :, 0]
        return (z[:, 0] * z[:, 1] + 3 * z[:, 2] * z[:, 9] - z[:, 4])[:, None]

    with jax.enable_x64(True):
        x = jnp.ones((1, 1, 12, 1), jnp.float64)
        found = xattr.kernel_shap(model, x, grid=(1, 12), num_samples=200, key=key)
    expected = [0.5, 0.5, 1.5, 0, -1, 0, 0, 0, 0, 1.5, 0, 0]
    np.testing.assert_allclose(found.ravel(), np.array(expected), atol=1e-9)


def test_a_single_feature_gets_everything():
    x = jnp.full((1, 2, 2, 1), 3.0)
    found = xattr.kernel_shap(games.additive(1.0), x, grid=1)
    assert found.ravel().tolist() == [12.0] * 4


def test_a_key_is_needed_where_it_draws():
    x = jnp.ones((1, 4, 4, 1))
    assert xattr.kernel_shap(games.additive(1.0), x, grid=3).shape == x.shape
    with pytest.raises(ValueError, match="`key` is None"):
        xattr.kernel_shap(games.additive(1.0), x, grid=4)
    with pytest.raises(ValueError, match="`num_samples`=0; it must be at least 1"):
        xattr.kernel_shap(games.additive(1.0), x, grid=2, num_samples=0)
