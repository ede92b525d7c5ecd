import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import cams as oracles


@pytest.mark.parametrize("relu", [True, False])
def test_it_is_grad_cam_of_the_change_averaged_over_midpoints(relu):
    def model(x):
        a = jnp.tanh(x)
        return (jnp.sin(2 * a) - a).sum((1, 2, 3))[:, None]

    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=(2, 3, 4, 2))
        start = np.random.default_rng(1).normal(size=(2, 3, 4, 2))
        found = xattr.integrated_grad_cam(
            model,
            jnp.asarray(x),
            site="tanh:0",
            axes="nhwc",
            baseline=jnp.asarray(start),
            num_steps=5,
            relu=relu,
            chunk_size=3,
        )
        for n in range(2):
            expected = np.zeros((3, 4))
            for s in range(5):
                a = np.tanh(start[n] + (s + 0.5) / 5 * (x[n] - start[n]))
                g = 2 * np.cos(2 * a) - 1
                change = a - np.tanh(start[n])
                step = oracles.by_weights(change, g.mean((0, 1)))
                expected += (step.clip(0) if relu else step) / 5
            np.testing.assert_allclose(found[n], expected, rtol=1e-9, atol=1e-12)


def test_the_path_begins_in_black(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    settings = {"site": "relu:1", "num_steps": 3}
    found = xattr.integrated_grad_cam(net, images, **settings)
    black = xattr.integrated_grad_cam(
        net, images, baseline=jnp.zeros((1, 12, 12, 3)), **settings
    )
    np.testing.assert_allclose(found, black, rtol=1e-6)


def test_the_class_stays_that_of_the_image(key):
    net, images = networks.tiny_convnet(key), networks.images(3)
    settings = {"site": "relu:0", "num_steps": 4}
    found = xattr.integrated_grad_cam(net, images, **settings)
    named = xattr.integrated_grad_cam(net, images, net(images).argmax(1), **settings)
    np.testing.assert_allclose(found, named, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, "`num_steps`=0; it must be at least 1"),
        ({"baseline": jnp.zeros((1, 3, 3, 3))}, "`baseline` has shape"),
        ({"baseline": jnp.zeros((2, 1, 12, 12, 3))}, "`baseline` holds 2 baselines"),
    ],
)
def test_what_it_refuses(key, settings, message):
    with pytest.raises(ValueError, match=message):
        xattr.integrated_grad_cam(
            networks.tiny_convnet(key), networks.images(1), site="relu:0", **settings
        )
