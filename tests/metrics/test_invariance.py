from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from xattr.metrics import implementation_invariance, input_invariance

COLOR = jnp.array([0.5, -1.0, 2.0])


@pytest.mark.parametrize("shift", [1.5, COLOR, networks.images(1, seed=7)])
def test_gradients_do_not_see_a_shift(shift, key):
    model, x = networks.tiny_convnet(key), networks.images(2)
    assert (input_invariance(xattr.gradient, model, x, shift=shift) < 1e-5).all()


def test_gradient_x_input_changes_by_the_gradient_times_the_shift(key):
    model, x = networks.tiny_convnet(key), networks.images(2)
    found = input_invariance(xattr.input_x_gradient, model, x, [1, 3], shift=COLOR)
    g = np.asarray(xattr.gradient(model, x, jnp.array([1, 3])))
    for n in range(2):
        change = np.linalg.norm(g[n] * np.asarray(COLOR))
        expected = change / np.linalg.norm(g[n] * np.asarray(x[n]))
        np.testing.assert_allclose(found[n], expected, rtol=1e-4)


def test_a_baseline_that_moves_along_makes_integrated_gradients_invariant(key):
    model, x = networks.tiny_convnet(key, smooth=True), networks.images(2)
    fixed = partial(xattr.integrated_gradients, num_steps=8)

    def moving(model, images, targets, **options):
        low = images.min((1, 2, 3), keepdims=True)
        return fixed(model, images, targets, baseline=low, **options)

    assert (input_invariance(moving, model, x, shift=2.0) < 1e-4).all()
    assert (input_invariance(fixed, model, x, shift=2.0) > 0.1).all()


def test_both_maps_see_the_same_draws(key):
    model, x = networks.tiny_convnet(key), networks.images(2)
    noisy = xattr.smoothgrad(xattr.gradient, num_samples=3)
    assert (input_invariance(noisy, model, x, shift=1.0, key=key) < 1e-4).all()
    found = implementation_invariance(noisy, (model, model), x, key=key)
    np.testing.assert_array_equal(found, [0, 0])


def test_another_form_of_the_network(key):
    """A rectified unit and its mirror image in the place of the input."""
    model, x = networks.tiny_convnet(key), networks.images(2)
    signs = jnp.concatenate([jnp.eye(3), -jnp.eye(3)], axis=1)

    def rewritten(x):
        return model(jax.nn.relu(x @ signs) @ signs.T)

    np.testing.assert_allclose(rewritten(x), model(x), atol=1e-5)
    same = implementation_invariance(xattr.gradient, (model, rewritten), x)
    assert (same < 1e-5).all()
    maps = [np.asarray(xattr.guided_backprop(f, x, [0, 2])) for f in (model, rewritten)]
    found = implementation_invariance(
        xattr.guided_backprop, (model, rewritten), x, [0, 2]
    )
    for n in range(2):
        distance = np.linalg.norm(maps[1][n] - maps[0][n])
        np.testing.assert_allclose(
            found[n], distance / np.linalg.norm(maps[0][n]), rtol=1e-5
        )
        assert found[n] > 0.1


def test_a_map_of_zeros_has_no_length():
    x = networks.images(1)
    found = input_invariance(
        xattr.gradient, lambda x: 0 * x.sum((1, 2, 3))[:, None], x, shift=1.0
    )
    assert np.isnan(found).all()


def test_errors_name_the_argument(key):
    model, x = networks.tiny_convnet(key), networks.images(2)
    with pytest.raises(ValueError, match="the same for all of them"):
        input_invariance(xattr.gradient, model, x, shift=x)
    with pytest.raises(ValueError, match="`models` holds 1"):
        implementation_invariance(xattr.gradient, (model,), x)


def test_maps_in_half_precision_do_not_overflow():
    maps = {2.0: jnp.full((1, 16, 16), 100, jnp.float16)}
    maps[1.0] = maps[2.0] / 2

    def method(model, images, targets):
        return maps[float(model(images)[0, 0])]

    models = tuple(lambda x, k=k: jnp.full((len(x), 1), k) for k in (2.0, 1.0))
    found = implementation_invariance(method, models, jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(found, [0.5])
