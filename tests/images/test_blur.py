import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from xattr.images import gaussian_blur


def picture(shape=(2, 9, 13, 3)):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("stddev", [0.3, 0.8, 1.9, 2.1, 5.0])
def test_equals_scipys_filter(stddev):
    x = picture()
    wanted = gaussian_filter(
        x, (0, stddev, stddev, 0), mode="constant", truncate=40 / stddev
    )
    with jax.enable_x64(True):
        found = gaussian_blur(jnp.asarray(x), stddev, edges="zero")
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)


def test_renormalized_edges_keep_constants_and_divide_by_the_weights_inside():
    x, ones = picture().astype(np.float32), np.ones((2, 9, 13, 3), np.float32)
    np.testing.assert_allclose(gaussian_blur(jnp.asarray(ones), 3.0), ones, rtol=1e-5)
    padded, weights = (
        gaussian_blur(jnp.asarray(part), 3.0, edges="zero") for part in (x, ones)
    )
    np.testing.assert_allclose(
        gaussian_blur(jnp.asarray(x), 3.0), padded / weights, rtol=1e-3, atol=1e-5
    )


def test_no_blur_at_zero_and_one_width_per_image():
    x = jnp.asarray(picture(), jnp.float32)
    both = gaussian_blur(x, jnp.array([0.0, 2.0]))
    np.testing.assert_array_equal(both[0], x[0])
    np.testing.assert_allclose(both[1], gaussian_blur(x, 2.0)[1], rtol=1e-5, atol=1e-6)


def test_maps_without_channels():
    x = jnp.asarray(picture(), jnp.float32)
    np.testing.assert_allclose(
        gaussian_blur(x[..., 0], 2.0), gaussian_blur(x, 2.0)[..., 0], rtol=1e-5
    )


def test_differentiable_in_the_width_also_where_it_is_none():
    x = jnp.asarray(picture(), jnp.float32)
    for stddev in (0.0, 1.3):
        slope = jax.jacfwd(lambda s: gaussian_blur(x, s))(stddev)
        quotient = (gaussian_blur(x, stddev + 1e-2) - gaussian_blur(x, stddev)) / 1e-2
        np.testing.assert_allclose(slope, quotient, atol=2e-2)


def test_refuses_unknown_edges_and_widths():
    x = jnp.zeros((2, 4, 4, 1))
    with pytest.raises(ValueError, match="`edges`='wrap'; it must be 'renormalize'"):
        gaussian_blur(x, 1.0, edges="wrap")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`stddev` has shape \(1,\); .* 2 images"):
        gaussian_blur(x, jnp.ones(1))
