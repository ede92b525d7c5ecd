import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.apart import apart
from tests.oracles.perturbations_rise import rise as oracle
from xattr.images import grid_masks


def drawn(key, num, size, **options):
    """The masks that are drawn for an image with this key."""

    @jax.jit
    def draw(key):
        own = jax.vmap(lambda s: jax.random.fold_in(key, s))(jnp.arange(num))
        return grid_masks(own, size, **options)

    return np.asarray(draw(key))


@pytest.mark.parametrize("resize", ["mirrored", apart("bilinear"), apart("nearest")])
def test_it_is_the_loop_over_its_masks(key, resize):
    options = {"grid": 3, "keep": 0.4, "resize": resize}
    with jax.enable_x64(True):
        model = networks.tiny_convnet(key, dtype=jnp.float64)
        evaluate = jax.jit(lambda x: model(x))
        x = networks.images(2, dtype=jnp.float64)
        fill = 0.1 * networks.images(2, seed=1, dtype=jnp.float64)
        keys = jax.random.split(jax.random.key(5), 2)
        found = xattr.rise(
            model, x, [1, 3], num_masks=9, baseline=fill, chunk_size=4, key=keys,
            **options,
        )  # fmt: skip
        for n, target in enumerate([1, 3]):

            def score(pixels, target=target):
                z = np.exp(np.asarray(evaluate(pixels[None])[0]))
                return z[target] / z.sum()

            masks = drawn(keys[n], 9, (12, 12), **options)
            expected = oracle(score, np.array(x[n]), masks, np.array(fill[n]), 0.4)
            np.testing.assert_allclose(found[n, ..., 0], expected, rtol=1e-9)


@pytest.mark.slow
def test_on_a_linear_model_it_ranks_pixels_by_their_weights(key):
    weights = xattr.images.resize(jax.random.normal(key, (1, 3, 3, 1)), (24, 24))

    def model(x):
        return (x * weights).sum((1, 2, 3))[:, None]

    options = {"num_masks": 16000, "grid": 8, "score": xattr.logit}
    found = xattr.rise(model, jnp.ones((1, 24, 24, 1)), **options, key=key)
    # Sampling leaves an error of about the root of cells over masks, 0.06.
    assert np.corrcoef(found.ravel(), weights.ravel())[0, 1] > 0.95


def test_a_constant_score_gives_the_share_of_masks_that_show_a_pixel(key):
    def model(x):
        return jnp.full((len(x), 1), 2.0)

    options = {"num_masks": 6, "grid": 2, "score": xattr.logit}
    found = xattr.rise(model, jnp.ones((1, 6, 6, 1)), **options, key=key[None])
    expected = 2 * drawn(key, 6, (6, 6), grid=2).mean(0) / 0.5
    np.testing.assert_allclose(found[0, ..., 0], expected, rtol=1e-5)


def test_targets_stay_those_of_the_clean_image(key):
    def model(x):
        total = x.sum((1, 2, 3))
        return jnp.stack([total, 4 - total], -1)

    x = jnp.full((1, 2, 2, 1), 0.75)
    options = {"num_masks": 20, "grid": 2, "score": xattr.logit, "key": key}
    by_default = xattr.rise(model, x, **options)
    np.testing.assert_allclose(by_default, xattr.rise(model, x, [0], **options))
    assert not jnp.allclose(by_default, xattr.rise(model, x, [1], **options))


def test_many_logits_do_not_overflow_half_precision(key):
    def model(x):
        return jnp.full((len(x), 1), 600.0, x.dtype)

    x = jnp.ones((1, 4, 4, 1), jnp.float16)
    found = xattr.rise(
        model, x, num_masks=256, keep=1.0, score=xattr.logit, key=key, chunk_size=32
    )
    assert found.dtype == jnp.float16
    assert found.ravel().tolist() == [600.0] * 16


def test_what_it_refuses(key):
    def model(x):
        return x.reshape(len(x), -1)

    with pytest.raises(ValueError, match="masks need at least one spatial axis"):
        xattr.rise(model, jnp.ones((1, 4)), key=key)
    with pytest.raises(ValueError, match="`num_masks`=0; it must be at least 1"):
        xattr.rise(model, jnp.ones((1, 4, 4, 1)), num_masks=0, key=key)
