import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr import images

X = jax.random.uniform(jax.random.key(0), (3, 20, 20, 3))


@pytest.mark.parametrize(("make", "value"), [(images.black, 0), (images.white, 1)])
def test_black_and_white(make, value):
    baseline = make(X.astype(jnp.bfloat16))
    assert baseline.dtype == jnp.bfloat16
    np.testing.assert_array_equal(baseline.astype(jnp.float32), np.full(X.shape, value))


def test_mean_color_is_each_images_own():
    baseline = np.asarray(images.mean_color(X))
    assert baseline.shape == X.shape
    assert np.ptp(baseline, axis=(1, 2)).max() == 0
    np.testing.assert_allclose(baseline[:, 0, 0], np.asarray(X).mean((1, 2)), rtol=1e-5)


def test_blurred_has_less_detail_and_tends_to_the_mean_color():
    def detail(x):
        return float(jnp.abs(jnp.diff(x, axis=1)).mean())

    assert detail(images.blurred(X, stddev=2.0)) < detail(X) / 4
    np.testing.assert_allclose(
        images.blurred(X, stddev=1e4), images.mean_color(X), rtol=1e-3
    )


def test_uniform_noise_has_its_bounds_and_moments():
    """3600 values: a band of five standard errors alarms once in a million runs."""
    noise = np.asarray(images.uniform_noise(X, key=jax.random.key(1), low=-1, high=3))
    assert noise.min() >= -1
    assert noise.max() < 3
    deviation = 4 / np.sqrt(12)
    assert abs(noise.mean() - 1) < 5 * deviation / np.sqrt(noise.size)
    assert abs(noise.std() / deviation - 1) < 0.05


def test_uniform_noise_of_an_image_depends_on_its_key_alone():
    keys = jax.random.split(jax.random.key(1), 3)
    together = images.uniform_noise(X, key=keys)
    np.testing.assert_array_equal(
        together[1:], images.uniform_noise(X[1:], key=keys[1:])
    )
    assert not jnp.allclose(together[0], together[1])


def test_refuses_empty_ranges():
    with pytest.raises(ValueError, match="`low`=1 must be below `high`=1"):
        images.uniform_noise(X, key=jax.random.key(0), low=1, high=1)
