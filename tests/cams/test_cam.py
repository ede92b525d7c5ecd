import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import cams as oracles


def test_it_is_the_activations_by_the_weights_of_the_head(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    a = np.array(xattr.record(net, images, "relu:1")["relu:1"], np.float64)
    head = np.array(net.params["head"], np.float64)
    expected = [oracles.by_weights(a[n], head[:, c]) for n, c in enumerate((4, 1))]
    found = xattr.cam(net, images, [4, 1], site="relu:1", relu=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    rectified = xattr.cam(net, images, [4, 1], site="relu:1")
    np.testing.assert_allclose(rectified, np.clip(expected, 0, None), rtol=1e-4)


def test_its_mean_is_the_score_less_the_bias(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    found = xattr.cam(net, images, [2, 2], site="relu:1", relu=False).mean((1, 2))
    expected = net(images)[:, 2] - net.params["head_bias"][2]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_margin_has_the_difference_of_two_heads(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    targets = jnp.array([[1, 3], [4, 0]])
    found = xattr.cam(
        net, images, targets, site="relu:1", score=xattr.margin, relu=False
    )
    maps = [
        xattr.cam(net, images, targets[:, i], site="relu:1", relu=False) for i in (0, 1)
    ]
    np.testing.assert_allclose(found, maps[0] - maps[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("site", "named"), [("relu:0", "conv:1"), ("conv:1", "relu:1")]
)
def test_a_site_that_is_not_pooled_next_is_refused(key, site, named):
    net, images = networks.tiny_convnet(key), networks.images(1)
    message = f"`site`='{site}' is followed by '{named}'.*`xattr.grad_cam\\(model"
    with pytest.raises(ValueError, match=message):
        xattr.cam(net, images, site=site)


def test_positions_that_weigh_differently_are_refused():
    def model(x):
        return jax.nn.relu(x).reshape(len(x), -1) @ jnp.arange(8.0).reshape(4, 2)

    with pytest.raises(ValueError, match="is followed by 'dot:0'|'reshape:0'"):
        xattr.cam(model, jnp.ones((1, 2, 2, 1)), site="relu:0", axes="nhwc")
