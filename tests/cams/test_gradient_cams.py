"""The maps that one gradient gives: formulas, identities, layouts, and all at once."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.apart import apart
from tests.oracles import cams as oracles

VARIANTS = ["paper", "authors", "pytorch-grad-cam", "torch-cam", "xplique"]


def with_oracle(method, oracle, **settings):
    return functools.partial(method, **settings), functools.partial(oracle, **settings)


FORMULAS = {
    "grad_cam": with_oracle(xattr.grad_cam, oracles.grad_cam),
    "hires_cam": with_oracle(xattr.hires_cam, oracles.hires_cam),
    "layer_cam": with_oracle(xattr.layer_cam, oracles.layer_cam),
    "grad_cam_elementwise": with_oracle(
        xattr.grad_cam_elementwise, oracles.grad_cam_elementwise
    ),
    "xgrad_cam": with_oracle(xattr.xgrad_cam, oracles.xgrad_cam),
    **{
        f"grad_cam_plus_plus {variant}": with_oracle(
            xattr.grad_cam_plus_plus, oracles.grad_cam_plus_plus, variant=variant
        )
        for variant in VARIANTS
    },
}


@pytest.fixture
def activations():
    """Zero or positive, with a channel that is nowhere active."""
    drawn = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).clip(0)
    drawn[1, ..., 2] = 0
    return drawn


def head(a):
    """A smooth head with gradients of both signs that differ from cell to cell."""
    weights = np.random.default_rng(1).normal(size=(1, 4, 5, 3))
    return ((a * weights) + 0.3 * jnp.sin(3 * a)).sum((1, 2, 3))[:, None]


def model(x):
    return head(jnp.tanh(jnp.arctanh(x)))


def gradients(a):
    return np.array(jax.grad(lambda a: head(a).sum())(jnp.asarray(a)))


@pytest.mark.parametrize("relu", [True, apart(False)])
@pytest.mark.parametrize(("method", "oracle"), FORMULAS.values(), ids=FORMULAS)
def test_the_formula(activations, method, oracle, relu):
    with jax.enable_x64(True):
        a = activations / activations.max() * 0.9
        g = gradients(a)
        found = method(model, jnp.asarray(a), site="tanh:0", axes="nhwc", relu=relu)
        expected = np.stack([oracle(*each) for each in zip(a, g, strict=True)])
        expected = expected.clip(0) if relu else expected
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_maps_are_those_of_the_network_by_hand(key):
    """The gradient of a pooled and linearly read site is its weight over its cells."""
    net, images = networks.tiny_convnet(key), networks.images(2)
    a = np.array(xattr.record(net, images, "relu:1")["relu:1"], np.float64)
    g = np.broadcast_to(np.array(net.params["head"])[:, 3] / 36, a.shape)
    for method, oracle in FORMULAS.values():
        found = method(net, images, [3, 3], site="relu:1")
        expected = np.stack([oracle(*each) for each in zip(a, g, strict=True)])
        np.testing.assert_allclose(found, expected.clip(0), rtol=1e-4, atol=1e-7)


def test_above_a_pooled_site_several_methods_are_one(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    maps = {
        method: getattr(xattr, method)(net, images, site="relu:1", relu=False)
        for method in ("cam", "grad_cam", "hires_cam", "xgrad_cam")
    }
    for name in ("grad_cam", "hires_cam", "xgrad_cam"):
        np.testing.assert_allclose(maps["cam"] / 36, maps[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_grad_cam_plus_plus_does_not_mind_the_scale_of_a_site(key, variant):
    net, images = networks.tiny_convnet(key, bias=False), networks.images(2)
    kernels = [net.params["kernels"][0], 8 * net.params["kernels"][1]]
    params = {**net.params, "kernels": kernels, "head": net.params["head"] / 8}
    scaled = xattr.Model(net.apply, params)
    method = functools.partial(xattr.grad_cam_plus_plus, site="relu:1", variant=variant)
    same = np.allclose(method(net, images), method(scaled, images), rtol=1e-4)
    assert same == (variant != "pytorch-grad-cam")


def test_hires_cam_of_an_affine_head_sums_to_the_score_less_the_bias(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    found = xattr.hires_cam(net, images, [0, 1], site="relu:1", relu=False)
    outputs = net(images) - net.params["head_bias"][None]
    np.testing.assert_allclose(
        found.sum((1, 2)), outputs[jnp.arange(2), jnp.arange(2)], rtol=1e-4
    )


@pytest.mark.parametrize("site", ["relu:0", apart("relu:1")])
def test_all_from_one_pass_are_the_methods_one_by_one(key, site):
    net, images = networks.tiny_convnet(key), networks.images(2)
    found = xattr.gradient_cams(net, images, [1, 2], site=site, chunk_size=1)
    assert len(found) == 8
    for name, maps in found.items():
        alone = getattr(xattr, name)(net, images, [1, 2], site=site)
        np.testing.assert_allclose(maps, alone, rtol=1e-4, atol=1e-6, err_msg=name)


def test_all_from_one_pass_without_the_relu(key):
    net, images = networks.tiny_convnet(key), networks.images(1)
    names = ["hires_cam", "grad_cam_elementwise"]
    found = xattr.gradient_cams(net, images, site="relu:0", methods=names, relu=False)
    assert sorted(found) == sorted(names)
    for name in names:
        alone = getattr(xattr, name)(net, images, site="relu:0", relu=False)
        np.testing.assert_allclose(found[name], alone)
    assert found["hires_cam"].min() < 0


def channels_first(net):
    """The same network, written for images `n c h w`."""

    def apply(params, x):
        for kernel, bias, stride in zip(
            params["kernels"], params["biases"], (1, 2), strict=True
        ):
            kernel = jnp.transpose(kernel, (3, 2, 0, 1))
            x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME")
            x = jax.nn.relu(x + bias[None, :, None, None])
        return x.mean((2, 3)) @ params["head"] + params["head_bias"][None]

    return xattr.Model(apply, net.params)


class Net(eqx.Module):
    """The same network again, for one image `c h w`."""

    layers: list

    def __init__(self, net):
        self.layers = []
        for kernel, bias, stride in zip(
            net.params["kernels"], net.params["biases"], (1, 2), strict=True
        ):
            size = kernel.shape[2], kernel.shape[3], 3, stride
            conv = eqx.nn.Conv2d(*size, padding="SAME", key=jax.random.key(0))
            weights = jnp.transpose(kernel, (3, 2, 0, 1)), bias[:, None, None]
            self.layers.append(eqx.tree_at(lambda c: (c.weight, c.bias), conv, weights))
        linear = eqx.nn.Linear(*net.params["head"].shape, key=jax.random.key(0))
        weights = net.params["head"].T, net.params["head_bias"]
        self.layers.append(eqx.tree_at(lambda c: (c.weight, c.bias), linear, weights))

    def __call__(self, x):
        for conv in self.layers[:-1]:
            x = jax.nn.relu(conv(x))
        return self.layers[-1](x.mean((1, 2)))


def over_the_batch(module, x):
    return jax.vmap(module)(x)


@pytest.mark.parametrize("site", [0, apart(1)])
def test_a_model_with_channels_first_has_the_same_maps(key, site):
    net, images = networks.tiny_convnet(key), networks.images(2)
    first = jnp.moveaxis(images, 3, 1)
    expected = xattr.gradient_cams(net, images, site=f"relu:{site}")
    for other in (channels_first(net), xattr.from_function(over_the_batch, Net(net))):
        sites = [s for s in xattr.sites(other, first) if s.operation == "relu"]
        found = xattr.gradient_cams(other, first, site=sites[site].name)
        assert sites[site].axes == "nchw"
        for name, maps in found.items():
            np.testing.assert_allclose(
                maps, expected[name], rtol=1e-3, atol=1e-5, err_msg=name
            )


def test_finer_is_a_cam_against_the_nearest_classes(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    outputs = np.array(net(images), np.float64)
    a = np.array(xattr.record(net, images, "relu:1")["relu:1"], np.float64)
    weights = np.array(net.params["head"], np.float64) / 36
    expected = []
    for n, target in enumerate((4, 0)):
        distance = np.abs(outputs[n] - outputs[n, target])
        rivals = [k for k in np.argsort(distance) if k != target][:2]
        p = np.exp(outputs[n]) / np.exp(outputs[n]).sum()
        share = p[rivals] / p[rivals].sum()
        lead = weights[:, target] - 0.5 * weights[:, rivals] @ share
        expected.append(oracles.by_weights(a[n], lead))
    score = functools.partial(xattr.finer, num_rivals=2, strength=0.5)
    found = xattr.grad_cam(net, images, [4, 0], site="relu:1", score=score, relu=False)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"site": "relu:7"}, "`site`='relu:7' is not a site of this model. Nearest"),
        (
            {"site": "relu:0", "axes": "nhw"},
            r"axes 'nhw' \(given\); a class activation",
        ),
        ({"site": "dot:0"}, r"`site`='dot:0' has shape \(1, 5\)"),
    ],
)
def test_sites_that_have_no_map(key, settings, message):
    for method in (xattr.grad_cam, xattr.layer_cam, xattr.gradient_cams):
        with pytest.raises(ValueError, match=message):
            method(networks.tiny_convnet(key), networks.images(1), **settings)


def test_names_that_are_none(key):
    net, images = networks.tiny_convnet(key), networks.images(1)
    with pytest.raises(ValueError, match="`variant`='b' is none of the published ones"):
        xattr.grad_cam_plus_plus(net, images, site="relu:1", variant="b")
    with pytest.raises(ValueError, match=r"`methods`=\('cam',\); each must be one of"):
        xattr.gradient_cams(net, images, site="relu:1", methods=("cam",))
