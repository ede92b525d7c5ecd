import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import cams as oracles


def grids(i, j, d):
    return np.random.default_rng(d).normal(size=(3, i, j, d))


def weigh(x):
    return (jnp.tanh(x) * jnp.linspace(-1, 2, x.shape[3])[None, None, None]).sum((1, 2))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 3, 9)])
def test_they_are_the_projection_on_the_first_singular_vector(shape, center):
    """More cells than channels, and fewer: one decomposition each."""
    settings = {"site": "tanh:0", "axes": "nhwc", "center": center, "relu": False}
    with jax.enable_x64(True):
        x = jnp.asarray(grids(*shape))
        a = np.tanh(grids(*shape))
        found = xattr.eigen_cam(weigh, x, **settings)
        expected = [oracles.eigen(each, center) for each in a]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        found = xattr.eigen_grad_cam(weigh, x, [0, 1, 2], **settings)
        g = np.zeros(a.shape)
        for n in range(3):
            g[n, :, :, n] = np.linspace(-1, 2, shape[2])[n]
        expected = [oracles.eigen(each, center) for each in a * g]
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)


def test_the_sign_is_that_of_the_evidence_for_the_target(key):
    net, images = networks.tiny_convnet(key), networks.images(4)
    for target in range(5):
        targets = jnp.full(4, target)
        settings = {"site": "relu:0", "relu": False}
        found = xattr.eigen_grad_cam(net, images, targets, **settings)
        evidence = xattr.hires_cam(net, images, targets, **settings)
        assert ((found * evidence).sum((1, 2)) > 0).all()


def test_uncentered_maps_of_rectified_activations_need_no_relu(key):
    net, images = networks.tiny_convnet(key), networks.images(3)
    found = xattr.eigen_cam(net, images, site="relu:0", relu=False)
    assert found.min() > -1e-5
    assert found.max() > 0


def test_eigen_cam_asks_for_no_class():
    def segmenter(x):
        return {"masks": jax.nn.relu(x)}

    found = xattr.eigen_cam(
        segmenter, jnp.ones((1, 2, 2, 1)), site="relu:0", axes="nhwc"
    )
    np.testing.assert_allclose(found, np.ones((1, 2, 2)), rtol=1e-6)


def test_half_precision_comes_out_as_it_went_in(key):
    net = networks.tiny_convnet(key, dtype=jnp.bfloat16)
    images = networks.images(1, dtype=jnp.bfloat16)
    for method in (xattr.eigen_cam, xattr.eigen_grad_cam):
        assert method(net, images, site="relu:1").dtype == jnp.bfloat16
