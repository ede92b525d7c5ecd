import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.oracles import perturbations_features as oracles
from tests.perturbations import games


def test_it_is_the_trace_over_kernel_matrices(key):
    with jax.enable_x64(True):
        model, x, fill = games.case()
        found = games.by_cell(
            xattr.hsic(
                model,
                x[:1],
                [1],
                grid=games.GRID,
                num_samples=31,
                baseline=fill[:1],
                chunk_size=9,
                key=key,
            )
        )[0]
        shown = games.coalitions(xattr.hsic, num=games.NUM, num_samples=31)
        play = games.game(model, x[0], fill[0], 1)
        expected = oracles.hsic([play(z) for z in shown], shown)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("num_samples", [41, apart(40)])
def test_each_feature_is_shown_half_of_the_time(num_samples):
    shown = games.coalitions(xattr.hsic, num=6, num_samples=num_samples)
    assert set(np.unique(shown)) == {0, 1}
    np.testing.assert_array_equal(shown.sum(0), (num_samples + 1) // 2)
    assert len({tuple(column) for column in shown.T}) == 6


def test_a_score_that_is_one_of_two_numbers(key):
    """With half of the samples at each, the kernel is 1 or exp(-1/2)."""

    def model(x):
        return x[:, 0, 0]

    found = xattr.hsic(
        model, jnp.full((1, 1, 1, 1), 5.0), grid=1, num_samples=10, key=key
    )
    np.testing.assert_allclose(found.item(), (1 - np.exp(-0.5)) / 4, rtol=1e-5)


def test_cells_that_the_score_ignores_get_almost_nothing(key):
    weights = jnp.array([1.0, 0.0, 2.0, 0.0])[None, None, :, None]
    x = jnp.ones((1, 1, 4, 1))
    found = xattr.hsic(games.additive(weights), x, grid=(1, 4), key=key).ravel()
    assert found[2] > 2 * found[0] > 20 * found[1]
    # The mean over random orders is (1 - mean of l) / (2 N): a few times 1 / N at most.
    assert float(found[jnp.array([1, 3])].max()) < 5 / 500


def test_neither_scale_nor_offset_of_the_score_matters(key):
    def affine(x):
        return 7 - 3 * games.additive(weights)(x)

    weights = jax.random.normal(key, (1, 4, 4, 3))
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    np.testing.assert_allclose(
        xattr.hsic(affine, x, grid=2, num_samples=50, key=key),
        xattr.hsic(games.additive(weights), x, grid=2, num_samples=50, key=key),
        rtol=1e-3,
    )


def test_a_score_that_is_mostly_constant_still_tells(key):
    """The median distance is 0 where all but one in sixteen scores are equal."""

    def model(x):
        return x[:, 0, :4, 0].prod(1)[:, None]

    found = xattr.hsic(model, jnp.ones((1, 1, 5, 1)), grid=(1, 5), key=key).ravel()
    assert float(found[:4].min()) > 2 * float(found[4])


def test_a_score_that_never_varies_gives_zero(key):
    found = xattr.hsic(lambda x: jnp.ones((len(x), 2)), jnp.ones((1, 8, 8, 1)), key=key)
    assert float(jnp.abs(found).max()) < 1e-6


def test_what_it_refuses(key):
    x = jnp.ones((1, 8, 8, 1))
    with pytest.raises(ValueError, match="`num_samples`=1; it must be at least 2"):
        xattr.hsic(games.additive(1.0), x, num_samples=1, key=key)
    with pytest.raises(ValueError, match="`key` is None"):
        xattr.hsic(games.additive(1.0), x)
