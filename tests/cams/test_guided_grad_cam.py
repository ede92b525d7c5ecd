"""Guided Grad-CAM: a product of two maps, by hand and by their restatements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.networks import images, tiny_convnet
from tests.oracles.network import Network, bilinear


def drawn(seed=0):
    noise = np.random.default_rng(seed)
    return noise.normal(size=(3, 4)), noise.normal(size=4), noise.normal(size=(4, 2))


def apply(params, x):
    kernel, bias, head = params
    n, h, w, c = x.shape
    pooled = x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
    return jax.nn.relu(pooled @ kernel + bias[None, None, None]).mean((1, 2)) @ head


def restated(network, image, target):
    """The positive part of weighted channels, times what ReLUs let down."""
    channels, before = network.channels(image), network.before(image)
    head = network.head[:, target]
    size = before[..., 0].size
    cam = np.maximum(channels @ (head / size), 0)
    rows, columns = (
        bilinear(n, m) for n, m in zip(cam.shape, image.shape, strict=False)
    )
    cells = (before > 0) * np.maximum(head, 0) / size
    signal = np.kron(cells @ network.kernel.T, np.ones((2, 2, 1))) / 4
    return (rows @ cam @ columns.T)[..., None] * signal


def test_maps_are_the_product_restated():
    params, x = drawn(), np.random.default_rng(1).normal(size=(2, 6, 8, 3))
    with jax.enable_x64(True):
        model = xattr.Model(apply, tuple(map(jnp.asarray, params)))
        found = xattr.guided_grad_cam(
            model, jnp.asarray(x), [0, 1], site="relu:0", axes="nhwc"
        )
    for image, target, map_ in zip(x, (0, 1), found, strict=True):
        wanted = restated(Network(*params), image, target)
        assert np.abs(wanted).max() > 0
        np.testing.assert_allclose(map_, wanted, rtol=1e-9, atol=1e-12)


def test_nothing_is_shown_where_grad_cam_shows_nothing():
    model, batch = tiny_convnet(jax.random.key(1)), images(2)
    site = "relu:1"
    found = np.asarray(xattr.guided_grad_cam(model, batch, [0, 3], site=site))
    cams = xattr.grad_cam(model, batch, [0, 3], site=site)
    whole = np.asarray(xattr.images.resize(cams, (12, 12)))
    assert (whole == 0).any()
    assert (found[whole == 0] == 0).all()
    guided = np.asarray(xattr.guided_backprop(model, batch, [0, 3]))
    np.testing.assert_allclose(found, guided * whole[..., None], rtol=1e-5, atol=1e-9)


def test_sites_without_a_grid():
    with pytest.raises(ValueError, match="`site`='dot:0'"):
        xattr.guided_grad_cam(tiny_convnet(jax.random.key(1)), images(1), site="dot:0")
