import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.resample import bilinear
from xattr.images import resize

SIDES = st.integers(1, 9)
compiled = jax.jit(resize, static_argnames=("size", "method"))


@settings(max_examples=8, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 2**31))
def test_bilinear_is_the_oracle(i, j, h, w, seed):
    maps = np.random.default_rng(seed).normal(size=(2, i, j)).astype(np.float32)
    out = compiled(jnp.asarray(maps), (h, w))
    expected = np.stack([bilinear(field, h, w) for field in maps])
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 2**31))
def test_corners_are_aligned_as_in_linear_interpolation_between_them(i, j, h, w, seed):
    maps = np.random.default_rng(seed).normal(size=(2, i, j)).astype(np.float32)
    out = np.asarray(compiled(jnp.asarray(maps), (h, w), method="align_corners"))
    rows, columns = (np.linspace(0, old - 1, new) for old, new in ((i, h), (j, w)))
    for field, found in zip(maps, out, strict=True):
        across = np.stack([np.interp(columns, np.arange(j), row) for row in field])
        expected = [np.interp(rows, np.arange(i), column) for column in across.T]
        np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-5, atol=1e-5)


def test_channels_are_resized_alone():
    maps = jnp.arange(24.0).reshape(1, 2, 3, 4)
    out = resize(maps, (5, 7))
    assert out.shape == (1, 5, 7, 4)
    np.testing.assert_allclose(out[..., 1], resize(maps[..., 1], (5, 7)), rtol=1e-6)


@pytest.mark.parametrize("method", ["bilinear", "align_corners", "nearest"])
def test_constants_stay(method):
    out = resize(jnp.full((1, 3, 5), -2.5), (7, 2), method=method)
    np.testing.assert_allclose(out, jnp.full((1, 7, 2), -2.5), rtol=1e-6)


def test_nearest_takes_the_cell_at_the_centre():
    out = resize(jnp.array([[[1.0, 2.0, 3.0]]]), (1, 5), method="nearest")
    assert out[0, 0].tolist() == [1.0, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("size", [(0, 4), (4,)])
def test_size_is_checked(size):
    with pytest.raises(ValueError, match="`size` must be two positive numbers"):
        resize(jnp.ones((1, 2, 2)), size)


def test_method_is_checked():
    method: str = "cubic"
    with pytest.raises(ValueError, match="`method`='cubic' is unknown"):
        resize(jnp.ones((1, 2, 2)), (4, 4), method=method)  # pyright: ignore
