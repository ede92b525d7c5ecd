import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.apart import apart
from tests.oracles.cams_ablation_cam import ablation_cam as oracle
from xattr.program import split_at

RNG = np.random.default_rng(0)
WIDE = RNG.normal(size=(3, 3, 3, 4))
DEEP = RNG.normal(size=(3, 3, 4, 4))
HEAD = RNG.normal(size=(4, 3))


def conv(x, kernel, layout=("NHWC", "HWIO", "NHWC")):
    return jax.lax.conv_general_dilated(
        x, kernel.astype(x.dtype), (1, 1), "SAME", dimension_numbers=layout
    )


def head(x):
    return x @ HEAD.astype(x.dtype) + jnp.arange(3, dtype=x.dtype)[None]


def above(a, below):
    """Non-linear, and with a connection around the site."""
    return head(jnp.tanh(conv(a, DEEP) + below).mean((1, 2)))


def residual(x):
    below = conv(x, WIDE)
    return above(jnp.sin(below), below)


def channels_first(x):
    layout = ("NCHW", "HWIO", "NCHW")
    below = conv(jnp.moveaxis(x, 3, 1), WIDE, layout)
    a = jnp.tanh(conv(jnp.sin(below), DEEP, layout) + below)
    return head(a.mean((2, 3)))


def one_by_one(x):
    def one(x):
        below = conv(x[None], WIDE)[0]
        a = jnp.sin(below)
        return above(a[None], below[None])[0]

    return jax.vmap(one)(x)


def affine(x):
    """Above the site a convolution, slices and a flattening, nothing pooled."""
    a = conv(jnp.sin(conv(x, WIDE)), DEEP)[:, ::2]
    return head(a.reshape(len(x), -1, 4)[:, 3] + a[:, 1, 1])


MODELS = {f.__name__: f for f in (residual, channels_first, one_by_one, affine)}


def never_affine(outputs, targets):
    """The logit, in a form that is not read as an affine function."""
    return jnp.maximum(xattr.logit(outputs, targets), -1e30)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("chunk_size", [3, apart(None)])
def test_it_is_the_loop_over_channels(model, chunk_size):
    with jax.enable_x64(True):
        x = networks.images(2, dtype=jnp.float64)
        found = xattr.ablation_cam(
            model, x, [2, 1], site="sin:0", relu=False, chunk_size=chunk_size
        )
        for n, target in enumerate([2, 1]):

            def score(a, n=n, target=target):
                a = np.moveaxis(a, 2, 0) if model is channels_first else a
                edited = xattr.edit(model, {"sin:0": lambda _: jnp.asarray(a)[None]})
                return float(edited(x[n : n + 1])[0, target])

            a = np.sin(np.array(conv(x, WIDE)[n]))
            np.testing.assert_allclose(found[n], oracle(score, a), rtol=1e-9)


@pytest.mark.parametrize("score", [xattr.logit, xattr.margin, xattr.probability])
def test_one_gradient_gives_what_the_channels_give(key, score):
    net, images = networks.tiny_convnet(key), networks.images(3)
    targets = jnp.array([[0, 1], [2, 4], [3, 0]])
    targets = targets if score is xattr.margin else targets[:, 0]

    def unread(outputs, targets):
        return jnp.maximum(score(outputs, targets), -1e30)

    found, channels = (
        xattr.ablation_cam(net, images, targets, site="relu:1", relu=False, score=s)
        for s in (score, unread)
    )
    np.testing.assert_allclose(found, channels, rtol=1e-3, atol=1e-5)


def test_above_a_linear_head_it_is_cam_times_mean_activations(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    a = xattr.record(net, images, "relu:1")["relu:1"]
    score = net(images)[:, 2]
    weights = net.params["head"][None, :, 2] * a.mean((1, 2)) / score[:, None]
    found = xattr.ablation_cam(net, images, [2, 2], site="relu:1", relu=False)
    expected = jnp.einsum("nijd,nd->nij", a, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_zero_is_what_ablates_signed_activations():
    def model(x):
        return (jnp.sinh(x).sum((1, 2, 3)) ** 2)[:, None]

    # Channels of -1 and 3, whose sum is squared: without them 9 and 1 are left of 4.
    x = jnp.arcsinh(jnp.array([[[[-1.0, 3.0]]]]))
    found = xattr.ablation_cam(model, x, site="sinh:0", axes="nhwc")
    np.testing.assert_allclose(found, [[[5 / 4 + 9 / 4]]], rtol=1e-5)


def test_a_score_of_zero_gives_a_map_of_zeros(key):
    def model(x):
        return jax.nn.relu(x).sum((1, 2, 3))[:, None] * 0.0

    found = xattr.ablation_cam(model, networks.images(1), site="relu:0", axes="nhwc")
    assert jnp.array_equal(found, jnp.zeros((1, 12, 12)))


def flops(function, *arguments):
    analysis = jax.jit(function).lower(*arguments).compile().cost_analysis()
    assert analysis is not None
    return analysis["flops"]


@pytest.mark.parametrize("model", [residual, channels_first, one_by_one])
def test_only_what_lies_above_is_evaluated_again(model):
    x = networks.images(2)
    split = split_at(model, x, "sin:0")
    once, again = flops(model, x), flops(split.above, *split.below(x))
    assert again < 0.75 * once
    # One chunk, for the operations inside a loop are counted once.
    maps = functools.partial(xattr.ablation_cam, model, site="sin:0", chunk_size=8)
    assert flops(maps, x) < 1.1 * (once + 4 * again)


def test_above_an_affine_part_it_costs_about_one_forward_pass(key):
    net, images = networks.tiny_convnet(key, channels=(16, 32)), networks.images(4)
    maps = functools.partial(xattr.ablation_cam, site="relu:1", chunk_size=4)
    assert flops(maps, net, images) < 1.2 * flops(lambda net, x: net(x), net, images)
    whole = functools.partial(maps, score=never_affine, chunk_size=4 * 32)
    assert flops(whole, net, images) > flops(maps, net, images)


def test_the_axes_have_to_be_known(key):
    with pytest.raises(
        ValueError, match=r"`site`='sinh:0' has shape .* needs one batch"
    ):
        xattr.ablation_cam(
            lambda x: jnp.sinh(x).sum(1), jnp.ones((1, 4)), site="sinh:0"
        )
