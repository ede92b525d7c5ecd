import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from xattr.metrics import completeness_gap


def test_it_is_what_the_sum_says_too_much(key):
    model, x = networks.tiny_convnet(key), networks.images(2)
    fill = networks.images(2, seed=1)
    maps = networks.images(2, seed=2)
    found = completeness_gap(model, x, maps, [1, 3], baseline=fill, chunk_size=1)
    for n, c in enumerate([1, 3]):
        change = model(x)[n, c] - model(fill)[n, c]
        np.testing.assert_allclose(found[n], maps[n].sum() - change, rtol=1e-4)
    per_pixel = completeness_gap(model, x, maps.sum(-1), [1, 3], baseline=fill)
    np.testing.assert_allclose(per_pixel, found, atol=1e-4)


def test_integrated_gradients_are_complete_and_gradients_are_not(key):
    model, x = networks.tiny_convnet(key, smooth=True), networks.images(2)
    complete = xattr.integrated_gradients(model, x, num_steps=50)
    assert (jnp.abs(completeness_gap(model, x, complete)) < 1e-3).all()
    # Twice the map says too much by the change of the score itself.
    change = completeness_gap(model, x, 0 * x)
    twice = completeness_gap(model, x, 2 * complete)
    np.testing.assert_allclose(twice, -change, atol=2e-3)
    assert (jnp.abs(change) > 0.1).all()


def test_maps_of_another_grid_are_refused():
    with pytest.raises(ValueError, match="resize"):
        completeness_gap(lambda x: x[:, 0, 0], networks.images(1), jnp.ones((1, 3, 3)))
