import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import cams as oracles


def model(x):
    a = jnp.tanh(x)
    weights = jnp.linspace(-1, 1, x[0].size).reshape(1, *x.shape[1:])
    return (weights * a + jnp.sin(2 * a)).sum((1, 2, 3))[:, None]


def gradient(a):
    weights = np.linspace(-1, 1, a.size).reshape(a.shape)
    return weights + 2 * np.cos(2 * a)


def test_it_is_the_formula_of_the_averaged_derivatives(key):
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 2)))
        keys = jax.random.split(key, 2)
        found = xattr.smooth_grad_cam_plus_plus(
            model,
            x,
            site="tanh:0",
            axes="nhwc",
            num_samples=5,
            stddev=0.2,
            relu=False,
            key=keys,
            chunk_size=3,
        )
        for n in range(2):
            draws = [jax.random.fold_in(keys[n], s) for s in range(5)]
            noise = [jax.random.normal(k, (3, 4, 2), jnp.float64) for k in draws]
            spread = 0.2 * (x[n].max() - x[n].min())
            gradients = [gradient(np.tanh(np.array(x[n] + spread * e))) for e in noise]
            expected = oracles.smooth_grad_cam_plus_plus(np.tanh(x[n]), gradients)
            np.testing.assert_allclose(found[n], expected, rtol=1e-9, atol=1e-12)


def test_without_noise_it_is_grad_cam_plus_plus(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    found = xattr.smooth_grad_cam_plus_plus(
        net, images, site="relu:0", stddev=0.0, num_samples=2, key=key
    )
    plain = xattr.grad_cam_plus_plus(net, images, site="relu:0")
    np.testing.assert_allclose(found, plain, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "`num_samples`=0; it must be at least 1"),
        ({"stddev": -0.1}, "`stddev`=-0.1; it must be at least 0"),
    ],
)
def test_what_it_refuses(key, settings, message):
    with pytest.raises(ValueError, match=message):
        xattr.smooth_grad_cam_plus_plus(
            networks.tiny_convnet(key),
            networks.images(1),
            site="relu:0",
            key=key,
            **settings,
        )
