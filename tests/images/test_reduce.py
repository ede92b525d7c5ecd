import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr import images

MAPS = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 5, 3)), jnp.float32)
BROKEN = [0.0, jnp.nan, jnp.inf, -jnp.inf]


def test_channels():
    pixels = np.asarray(MAPS, np.float64).reshape(-1, 3)
    shape = (3, 6, 5)
    biggest = [max(pixel, key=abs) for pixel in pixels]
    lengths = [sum(value**2 for value in pixel) ** 0.5 for pixel in pixels]
    np.testing.assert_allclose(
        images.channel_sum(MAPS), np.sum(pixels, 1).reshape(shape), atol=1e-6
    )
    np.testing.assert_allclose(
        images.channel_max_abs(MAPS), np.reshape(biggest, shape), rtol=1e-6
    )
    np.testing.assert_allclose(
        images.channel_norm(MAPS), np.reshape(lengths, shape), rtol=1e-6
    )


def test_symmetric_keeps_signs_and_zero():
    maps = MAPS.sum(-1).at[:, 0, 0].set(0.0)
    out = images.symmetric(maps)
    np.testing.assert_allclose(jnp.abs(out).max((1, 2)), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(jnp.sign(out), jnp.sign(maps))


def test_min_max_fills_the_unit_interval():
    maps = MAPS.sum(-1)
    out = images.min_max(maps)
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    np.testing.assert_allclose(out, (maps - low) / (high - low), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-37, 1e37, 3e38])
def test_extreme_scales_are_drawn(scale):
    maps = jnp.array([[[-1.0, 0.0, 1.0]]]) * scale
    np.testing.assert_allclose(images.symmetric(maps), [[[-1, 0, 1]]], rtol=1e-6)
    np.testing.assert_allclose(images.min_max(maps), [[[0, 0.5, 1]]], rtol=1e-6)


@pytest.mark.parametrize("normalize", [images.symmetric, images.min_max])
@pytest.mark.parametrize("value", [*BROKEN, 1e-42])
def test_maps_that_cannot_be_drawn_become_zero(normalize, value):
    bad = jnp.zeros((1, 3, 3)).at[0, 1, 1].set(value)
    out = normalize(jnp.concatenate([bad, jnp.ones((1, 3, 3)).at[0, 0, 0].set(0)]))
    np.testing.assert_array_equal(out[0], jnp.zeros((3, 3)))
    assert out[1].max() == 1.0


def test_constant_maps_under_min_max_are_zero():
    np.testing.assert_array_equal(images.min_max(jnp.full((1, 2, 2), 7.0)), 0.0)


def test_status():
    maps = jnp.ones((5, 2, 2)).at[1].set(0.0).at[2, 0, 0].set(jnp.nan)
    maps = maps.at[3, 0, 0].set(-jnp.inf).at[4].set(1e-42)
    states = jax.jit(images.status)(maps)
    assert states.tolist() == [0, 1, 2, 2, 1]
    assert [images.STATUSES[s] for s in states] == [
        *("ok", "all zero", "not finite", "not finite", "all zero")
    ]


def test_clip_percentile_cuts_both_signs():
    maps = jnp.concatenate([jnp.arange(-50.0, 0.0), jnp.arange(1.0, 51.0)])
    out = images.clip_percentile(maps.reshape(1, 10, 10), percentile=90)
    limit = np.percentile(np.abs(maps), 90)
    np.testing.assert_allclose(
        out.ravel(), np.clip(np.asarray(maps), -limit, limit), rtol=1e-6
    )


def test_clip_percentile_leaves_a_few_pixels_alone():
    lonely = jnp.zeros((1, 20, 20)).at[0, 3, 3].set(-2.0)
    np.testing.assert_array_equal(images.clip_percentile(lonely), lonely)


@pytest.mark.parametrize("percentile", [0, -1, 100.5])
def test_percentile_is_checked(percentile):
    with pytest.raises(ValueError, match=r"`percentile` must be in \(0, 100\]"):
        images.clip_percentile(jnp.ones((1, 2, 2)), percentile=percentile)
