import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.networks import images, tiny_convnet
from tests.oracles.paths_blur_integrated_gradients import (
    blur_integrated_gradients,
    published,
)


def test_equals_the_sum_restated(network):
    maps = xattr.blur_integrated_gradients(
        network.model, network.images, max_stddev=6.0, num_steps=9
    )
    for i, x in enumerate(np.asarray(network.images)):
        wanted = blur_integrated_gradients(
            network.gradient(i), x, max_sigma=6.0, steps=9
        )
        np.testing.assert_allclose(maps[i], wanted, rtol=1e-7, atol=1e-10)


@pytest.mark.slow
def test_near_the_published_sum_of_many_steps(smooth_network):
    net = smooth_network
    maps = xattr.blur_integrated_gradients(
        net.model, net.images, max_stddev=3.0, num_steps=200
    )
    for i, x in enumerate(np.asarray(net.images)):
        wanted = published(
            net.gradient(i), x, max_sigma=3.0, steps=600, difference=1e-4
        )
        assert np.abs(maps[i] - wanted).max() < 1e-2 * np.abs(wanted).max()


@pytest.mark.parametrize("edges", ["zero", apart("renormalize")])
def test_complete_between_blurred_and_sharp(smooth_network, edges):
    net = smooth_network
    maps = xattr.blur_integrated_gradients(
        net.model, net.images, max_stddev=5.0, num_steps=200, edges=edges
    )
    end = xattr.images.gaussian_blur(net.images, 5.0, edges=edges)
    change = net.score(net.images) - net.score(end)
    error = np.abs(maps.sum((1, 2, 3)) - change) / np.abs(change)
    assert error.max() < 1e-3


def test_linear_model_gives_weights_times_lost_detail():
    x, weights = images(2), images(1, seed=6)
    maps = xattr.blur_integrated_gradients(
        lambda x: (x * weights).sum((1, 2, 3))[:, None], x, num_steps=3
    )
    lost = x - xattr.images.gaussian_blur(x, 50.0, edges="zero")
    np.testing.assert_allclose(maps, weights * lost, rtol=1e-5, atol=1e-6)


def test_refuses_tables_and_empty_paths():
    model = tiny_convnet(jax.random.key(1))
    with pytest.raises(ValueError, match="only images `n h w c` can be blurred"):
        xattr.blur_integrated_gradients(lambda x: x, jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="`max_stddev`=0; it must be positive"):
        xattr.blur_integrated_gradients(model, images(1), max_stddev=0)
    with pytest.raises(ValueError, match="`num_steps`=0; it must be at least 1"):
        xattr.blur_integrated_gradients(model, images(1), num_steps=0)
