"""What is seen where a mask hides the image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr.decoder._fills import FILLS, fill, hide, keep

IMAGES = jax.random.uniform(jax.random.key(1), (3, 12, 10, 3))


def test_mean_is_the_color_of_each_image(key):
    found = fill(IMAGES, key, ("mean",))
    means = np.asarray(IMAGES, float).mean((1, 2), keepdims=True)
    np.testing.assert_allclose(found, np.broadcast_to(means, found.shape), rtol=1e-5)


def test_blur_has_a_width_of_eleven_pixels(key):
    def line(size):
        place = np.arange(size)
        weights = np.exp(-((place[:, None] - place) ** 2) / (2 * 11**2))
        return weights / weights.sum(1, keepdims=True)

    expected = np.einsum("yi,xj,nijc->nyxc", line(12), line(10), np.asarray(IMAGES))
    np.testing.assert_allclose(fill(IMAGES, key, ("blur",)), expected, rtol=1e-5)


def test_noise_is_a_color_for_each_image_with_grain(key):
    images = jnp.zeros((200, 16, 16, 3))
    found = np.asarray(fill(images, key, ("noise",)), float)
    colors, grain = found.mean((1, 2)), found.std((1, 2), ddof=1)
    # Bands of five standard errors.
    error = 0.055 / 16
    assert colors.min() > 0.335 - 5 * error
    assert colors.max() < 0.665 + 5 * error
    width = 0.33 / np.sqrt(12)
    assert abs(colors.mean() - 0.5) < 5 * width / np.sqrt(600)
    assert abs(colors.std() - width) < 5 * width * np.sqrt(0.2 / 600)
    assert abs(np.sqrt((grain**2).mean()) - 0.055) < 5 * 0.055 / np.sqrt(2 * 600 * 255)
    # The channels are drawn apart.
    assert abs(np.corrcoef(colors.T)[0, 1]) < 5 / np.sqrt(200)


def test_dataset_is_another_image_of_the_batch(key):
    found = fill(IMAGES, key, ("dataset",))
    for i in range(3):
        np.testing.assert_array_equal(found[i], IMAGES[i - 1])


def test_kinds_are_drawn_equally_often(key):
    images = jnp.stack([jnp.zeros((1, 1, 1)), jnp.ones((1, 1, 1))])
    keys = jax.random.split(key, 300)
    draw = jax.jit(jax.vmap(lambda key: fill(images, key, ("mean", "dataset"))))
    num_swapped = int((draw(keys)[:, 0, 0, 0, 0] == 1).sum())
    assert abs(num_swapped - 150) < 5 * np.sqrt(300) / 2


def test_the_key_decides(key):
    draw = jax.jit(fill, static_argnums=2)
    keys = [key, key, *jax.random.split(key, 20)]
    first, again, *others = (np.asarray(draw(IMAGES, k, FILLS)) for k in keys)
    np.testing.assert_array_equal(first, again)
    # All kinds but the noise are the same for every key.
    assert len({found.tobytes() for found in others}) > 4


def test_no_gradient_goes_through_the_fills(key):
    def total(images):
        return fill(images, key, ("mean",)).sum()

    assert (jax.grad(total)(IMAGES) == 0).all()


def test_keep_and_hide_are_opposite(key):
    fills = fill(IMAGES, key, ("mean",))
    mask = jax.random.uniform(key, (3, 12, 10, 1))
    kept, hidden = keep(IMAGES, mask, fills), hide(IMAGES, mask, fills)
    m, x, b = (np.asarray(a, float) for a in (mask, IMAGES, fills))
    np.testing.assert_allclose(kept, m * x + (1 - m) * b, rtol=1e-5)
    np.testing.assert_allclose(hidden, (1 - m) * x + m * b, rtol=1e-5)
    np.testing.assert_array_equal(keep(IMAGES, jnp.ones_like(mask), fills), IMAGES)
    np.testing.assert_array_equal(hide(IMAGES, jnp.ones_like(mask), fills), fills)


def test_unknown_kinds_are_refused(key):
    with pytest.raises(ValueError, match=r"names 'blurr'.*Nearest: `kinds=\('blur',\)"):
        fill(IMAGES, key, ("mean", "blurr"))
    with pytest.raises(ValueError, match="`kinds` is empty"):
        fill(IMAGES, key, ())


def test_one_image_has_no_other(key):
    with pytest.raises(ValueError, match="another image of the batch, but `images`"):
        fill(IMAGES[:1], key, ("mean", "dataset"))
