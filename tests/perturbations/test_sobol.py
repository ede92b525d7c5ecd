import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.oracles import perturbations_features as oracles
from tests.perturbations import games


def designs(num, num_designs, **options):
    """The two halves of the sequence, from the masks that the model was shown."""
    shown = games.coalitions(xattr.sobol, num=num, num_designs=num_designs, **options)
    shown = shown.reshape(num_designs, num + 1, num)
    swapped = shown[:, np.arange(num), np.arange(num)]
    return shown[:, -1], swapped, shown


@pytest.mark.parametrize("shifted", [False, True])
def test_it_is_jansens_estimate(key, shifted):
    with jax.enable_x64(True):
        model, x, fill = games.case()
        options = {"key": key} if shifted else {}
        found = games.by_cell(
            xattr.sobol(
                model,
                x[:1],
                [1],
                grid=games.GRID,
                num_designs=8,
                baseline=fill[:1],
                chunk_size=9,
                **options,
            )
        )[0]
        if shifted:
            first, second, _ = designs(games.NUM, 8)
        else:
            first, second = np.split(sequence(8, 2 * games.NUM), 2, axis=1)
        play = games.game(model, x[0], fill[0], 1)
        np.testing.assert_allclose(
            found, oracles.sobol(play, first, second), rtol=1e-5, atol=1e-8
        )


def sequence(num, dimension):
    """Points 1 to `num` of Sobol's sequence, by SciPy."""
    from scipy.stats import qmc

    count = int(np.log2(num)) + 1
    return qmc.Sobol(dimension, scramble=False).random_base2(count)[1 : num + 1]


def test_designs_differ_in_one_component():
    first, second, shown = designs(5, 64)
    for feature in range(5):
        others = np.arange(5) != feature
        np.testing.assert_array_equal(shown[:, feature][:, others], first[:, others])
    assert shown.min() >= 0
    assert shown.max() < 1
    for half in (first, second):
        np.testing.assert_allclose(half.mean(0), 0.5, atol=0.02)
        np.testing.assert_allclose((half**2).mean(0), 1 / 3, atol=0.02)


def test_an_additive_score_has_shares_of_its_squares():
    """Var(w z) = w² / 12, whatever the other features are."""
    weights = jnp.array([1.0, 2.0, -3.0, 0.0])
    x = weights[None, None, :, None]
    found = xattr.sobol(games.additive(1.0), x, grid=(1, 4), num_designs=1024)
    expected = weights**2 / (weights**2).sum()
    np.testing.assert_allclose(found.ravel(), expected, atol=0.01)
    assert found.ravel()[3] == 0


def test_a_product_has_indices_beyond_its_variance():
    """For z₁ z₂ both are E[z²] Var(z) / Var(z₁ z₂) = (1/3)(1/12) / (7/144) = 4/7."""

    def model(x):
        return x.prod((1, 2, 3))[:, None]

    found = xattr.sobol(model, jnp.ones((1, 1, 2, 1)), grid=(1, 2), num_designs=1024)
    np.testing.assert_allclose(found.ravel(), [4 / 7, 4 / 7], rtol=0.02)


def test_neither_scale_nor_offset_of_the_score_matters(key):
    def affine(x):
        return 7 - 3 * games.additive(weights)(x)

    weights = jax.random.normal(key, (1, 4, 4, 3))
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    np.testing.assert_allclose(
        xattr.sobol(affine, x, grid=2),
        xattr.sobol(games.additive(weights), x, grid=2),
        rtol=1e-3,
    )


def test_a_key_shifts_the_designs(key):
    x = jax.random.normal(key, (2, 4, 4, 3))
    plain = xattr.sobol(games.additive(1.0), x, grid=2)
    first, again, other = (
        xattr.sobol(games.additive(1.0), x, grid=2, key=jax.random.key(seed))
        for seed in (0, 0, 1)
    )
    assert jnp.array_equal(first, again)
    assert not jnp.allclose(first, plain)
    assert not jnp.allclose(first, other)


def test_a_score_that_never_varies_gives_zero():
    found = xattr.sobol(lambda x: jnp.ones((len(x), 2)), jnp.ones((1, 8, 8, 1)))
    assert not found.any()


def test_what_it_refuses():
    with pytest.raises(ValueError, match="`num_designs`=1; it must be at least 2"):
        xattr.sobol(games.additive(1.0), jnp.ones((1, 8, 8, 1)), num_designs=1)
    with pytest.raises(
        ValueError, match="make 12544 features.*at most 10600: `grid=8`"
    ):
        xattr.sobol(games.additive(1.0), jnp.ones((1, 112, 112, 1)), grid=112)
