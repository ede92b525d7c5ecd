import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.networks import images, tiny_convnet
from tests.oracles.paths_xrai import xrai


def linear(weights):
    """A model whose integrated gradients from zero are image times weights."""
    return lambda x: (x * weights).sum((1, 2, 3))[:, None]


def regions(n, *, seed=0, size=12):
    """Overlapping rectangles, the last of them empty."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, 9, size, size), bool)
    for mask in masks[:, :8].reshape(-1, size, size):
        top, left = rng.integers(0, size - 4, 2)
        height, width = rng.integers(2, 8, 2)
        mask[top : top + height, left : left + width] = True
    return masks


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("min_new_pixels", [1, 6])
def test_equals_the_choice_restated(fast, min_new_pixels):
    x, weights = images(3), images(1, seed=2)
    segments = regions(3)
    maps = xattr.xrai(
        linear(weights),
        x,
        segments=jnp.asarray(segments),
        baseline=jnp.zeros_like(x),
        num_steps=2,
        min_new_pixels=min_new_pixels,
        fast=fast,
    )
    assert maps.shape == (3, 12, 12, 1)
    attributions = np.asarray(x * weights).max(-1)
    for found, attribution, masks in zip(maps, attributions, segments, strict=True):
        wanted = xrai(attribution, masks, min_new_pixels=min_new_pixels, fast=fast)
        np.testing.assert_allclose(found[..., 0], wanted, rtol=1e-4, atol=1e-6)


def test_two_halves_worked_by_hand():
    """The right half holds more, though the best pixel is on the left."""
    values = jnp.array([[5.0, 1.0, 4.0, 4.0], [1.0, 1.0, 4.0, 8.0]])[None, ..., None]
    left = jnp.array([[True, True, False, False]] * 2)
    both = jnp.ones((2, 4), bool)
    maps = xattr.xrai(
        linear(jnp.ones((1, 1, 1, 1))),
        values,
        segments=jnp.stack([left, both, ~left])[None],
        baseline=jnp.zeros_like(values),
        num_steps=1,
        min_new_pixels=1,
    )
    np.testing.assert_allclose(maps[0, ..., 0], [[2, 2, 5, 5]] * 2, rtol=1e-6)


def test_sum_is_that_of_the_attribution():
    x, model = images(2), tiny_convnet(jax.random.key(1))
    maps = xattr.xrai(model, x, segments=jnp.asarray(regions(2)), num_steps=4)
    extremes = [x.min((1, 2, 3), keepdims=True), x.max((1, 2, 3), keepdims=True)]
    base = jnp.stack([jnp.broadcast_to(extreme, x.shape) for extreme in extremes])
    attribution = xattr.integrated_gradients(model, x, baseline=base, num_steps=4)
    np.testing.assert_allclose(
        maps.sum((1, 2, 3)), attribution.max(-1).sum((1, 2)), rtol=1e-4
    )


def test_empty_and_small_regions_change_nothing():
    x, model = images(1), tiny_convnet(jax.random.key(1))
    segments = regions(1)
    small = np.zeros((1, 2, 12, 12), bool)
    small[:, 1, 0, :3] = True
    padded = np.concatenate([segments, small], axis=1)
    alone, more = (
        xattr.xrai(model, x, segments=jnp.asarray(s), num_steps=3, min_new_pixels=4)
        for s in (segments, padded)
    )
    np.testing.assert_allclose(alone, more, atol=1e-7)


def test_refuses_wrong_segments():
    x, model = images(2), tiny_convnet(jax.random.key(1))
    with pytest.raises(TypeError, match="`segments` is an array of float32.*boolean"):
        xattr.xrai(model, x, segments=jnp.zeros((2, 3, 12, 12)))
    for shape in [(1, 3, 12, 12), (2, 3, 12, 11), (2, 12, 12)]:
        with pytest.raises(ValueError, match="`segments` has shape .*`n m h w`"):
            xattr.xrai(model, x, segments=jnp.zeros(shape, bool))
    with pytest.raises(ValueError, match="`min_new_pixels`=0; it must be at least 1"):
        xattr.xrai(model, x, segments=jnp.asarray(regions(2)), min_new_pixels=0)
