"""The gradient of maximum pooling, ties above all: after a ReLU they are everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from xattr.program import rewrite

# taps, stride, padding
GEOMETRIES = [
    apart((2, 2), (2, 2), "VALID"),
    ((3, 3), (2, 2), "SAME"),
    apart((3, 3), (2, 2), ((1, 1), (1, 1))),
    ((3, 2), (1, 3), ((0, 2), (1, 0))),
    apart((1, 3), (2, 1), "VALID"),
    ((2, 2), (3, 3), "VALID"),
]


def pooled(x, taps, strides, padding):
    padding = padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))
    return jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, *taps, 1), (1, *strides, 1), padding
    )


def images(kind, dtype):
    x = np.random.default_rng(0).standard_normal((2, 9, 8, 3))
    kinds = {
        "noise": x,
        "rectified": np.maximum(x, 0),
        "coarse": np.round(x),
        "zero": np.zeros_like(x),
        "constant": np.full_like(x, -1.5),
    }
    return jnp.asarray(kinds[kind], dtype)


@pytest.mark.parametrize("kind", ["noise", "rectified", "coarse", "zero", "constant"])
@pytest.mark.parametrize(("taps", "strides", "padding"), GEOMETRIES)
def test_the_first_of_equal_entries_gets_the_gradient(kind, taps, strides, padding):
    def model(x):
        return pooled(x, taps, strides, padding)

    x = images(kind, jnp.float32)
    slow, back = jax.vjp(model, x)
    fast, fast_back = jax.vjp(rewrite(model), x)
    np.testing.assert_array_equal(fast, slow)
    weights = jax.random.normal(jax.random.key(1), slow.shape)
    np.testing.assert_allclose(
        fast_back(weights)[0], back(weights)[0], rtol=1e-6, atol=1e-6
    )


def test_by_hand():
    x = jnp.array([[0.0, 0, 0], [0, 0, 5], [5, 0, 0]]).reshape(1, 3, 3, 1)
    model = rewrite(lambda x: pooled(x, (2, 2), (1, 1), "VALID"))
    weights = jnp.array([[1.0, 10], [100, 1000]]).reshape(1, 2, 2, 1)
    found = jax.vjp(model, x)[1](weights)[0]
    # The window of zeros gives to its first entry, the others to their fives.
    expected = [[1, 0, 0], [0, 0, 1010], [100, 0, 0]]
    assert found[0, :, :, 0].tolist() == expected


def test_windows_of_which_none_fits():
    x = images("noise", jnp.float32)[:, :2]
    assert rewrite(lambda x: pooled(x, (3, 3), (2, 2), "VALID"))(x).shape[1] == 0


def test_no_scatter_is_left_and_derivatives_nest():
    model = rewrite(lambda x: pooled(x, (3, 3), (2, 2), "SAME"))
    x = images("noise", jnp.float32)

    def total(x):
        return (model(x) ** 3).sum()

    assert "select_and_scatter" not in str(jax.make_jaxpr(jax.grad(total))(x))
    along = jnp.ones_like(x)
    forward_over_reverse = jax.jvp(jax.grad(total), (x,), (along,))[1]
    reverse_over_reverse = jax.grad(lambda x: (jax.grad(total)(x) * along).sum())(x)
    np.testing.assert_allclose(forward_over_reverse, reverse_over_reverse, rtol=1e-5)


def test_the_site_is_named_as_before():
    def model(x):
        return pooled(x, (2, 2), (2, 2), "VALID").sum((1, 2))

    x = images("noise", jnp.float32)
    names = [site.name for site in xattr.sites(model, x)]
    assert names == [site.name for site in xattr.sites(rewrite(model), x)]
    with jax.disable_jit():
        assert names == [site.name for site in xattr.sites(rewrite(model), x)]
    assert "max_pool:0" in names
