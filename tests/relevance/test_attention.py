"""Rollout and generic attention: the papers' matrices, by hand and by any model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import transformers
from tests.apart import apart
from tests.oracles import relevance_attention as oracles
from tests.oracles.vit import ViT

METHODS = {
    "attention_rollout": functools.partial(xattr.attention_rollout, discard_ratio=0.3),
    "generic_attention": xattr.generic_attention,
}
ATTENTION = ("attention 0", "attention 1")


@pytest.fixture(scope="module")
def oracle():
    return ViT(transformers.tensors(), patch=4, num_heads=2)


@pytest.fixture(scope="module", params=METHODS.values(), ids=list(METHODS))
def method(request):
    return request.param


@pytest.mark.parametrize("discard_ratio", [0.6, apart(0.0)])
@pytest.mark.parametrize("fuse", [np.mean, np.max, np.min], ids=lambda f: f.__name__)
def test_rollout_is_the_product_of_the_layers(oracle, fuse, discard_ratio):
    with jax.enable_x64(True):
        images = transformers.images(2, dtype=jnp.float64)
        found = xattr.attention_rollout(
            transformers.tiny_vit(),
            images,
            head_fusion=fuse.__name__.removeprefix("a"),
            discard_ratio=discard_ratio,
        )
    for image, map_ in zip(images, found, strict=True):
        kept = oracle.run(np.asarray(image))[1]
        layers = [kept[name] for name in ATTENTION]
        rollout = oracles.attention_rollout(layers, fuse, discard_ratio)
        np.testing.assert_allclose(map_, rollout[0, 1:].reshape(2, 2), rtol=1e-9)


@pytest.mark.parametrize("start", [0, apart(1)])
def test_generic_attention_is_the_papers_recursion(oracle, start):
    with jax.enable_x64(True):
        images = transformers.images(2, dtype=jnp.float64)
        found = xattr.generic_attention(
            transformers.tiny_vit(), images, [0, 2], start_layer=start
        )
    for image, target, map_ in zip(images, (0, 2), found, strict=True):
        image = np.asarray(image)
        kept = oracle.run(image)[1]
        relevance = oracles.generic_attention(
            [kept[name] for name in ATTENTION[start:]],
            [oracle.gradient(image, target, name) for name in ATTENTION[start:]],
        )
        np.testing.assert_allclose(
            map_, relevance[0, 1:].reshape(2, 2), rtol=1e-6, atol=1e-9
        )


def test_rollout_of_two_layers_by_hand():
    """Who reads whom is written into the model, so that paths can be followed."""
    first = jnp.array([[0.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    second = jnp.array([[0.0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])

    def model(x):
        for rows in (first, second):
            scores = 100 * rows[None] + 0 * x[:, :4, None]
            x = jax.nn.softmax(scores) @ x[..., None]
            x = x[..., 0]
        return x[:, :1]

    x = jnp.arange(4.0)[None]
    # The first: half itself, half the fourth; in the layer before, half the second.
    read = jnp.array([[[0.25, 0.25], [0, 0.5]]])
    all_rows = xattr.attention_rollout(model, x, grid=(2, 2))
    # Rows: (1/4, 1/4, 0, 1/2), (1/4, 3/4, 0, 0), third itself, fourth itself.
    np.testing.assert_allclose(all_rows, [[[0.125, 0.25], [0.25, 0.375]]], rtol=1e-6)
    of_class = xattr.attention_rollout(model, x, grid=(1, 3))
    np.testing.assert_allclose(of_class, read.reshape(1, 1, 4)[..., 1:], rtol=1e-6)
    last = xattr.attention_rollout(model, x, grid=(1, 3), start_layer=-1)
    np.testing.assert_allclose(last, [[[0, 0, 0.5]]], rtol=1e-6)


def test_rollout_and_what_is_no_patch_sum_to_one(oracle):
    images = transformers.images(3)
    found = xattr.attention_rollout(transformers.tiny_vit(), images)
    for image, map_ in zip(images, found, strict=True):
        kept = oracle.run(np.asarray(image, np.float64))[1]
        own = oracles.attention_rollout([kept[name] for name in ATTENTION])[0, 0]
        np.testing.assert_allclose(map_.sum() + own, 1, rtol=1e-5)


def test_rollout_does_not_know_classes_and_generic_attention_does():
    model, images = transformers.tiny_vit(), transformers.images(1)
    rollouts, generic = (
        [np.asarray(method(model, images, [target])) for target in (0, 1)]
        for method in METHODS.values()
    )
    np.testing.assert_array_equal(rollouts[0], rollouts[1])
    assert np.abs(generic[0] - generic[1]).max() > 1e-2 * generic[0].max()


def test_one_layer_read_by_one_token_is_gradient_times_attention():
    """With one layer, the map is the positive part of what the class token reads."""
    values = jnp.array([[1.0], [-2.0], [0.5], [4.0], [-1.0]])

    def model(x):
        scores = x[:, :, None] * x[:, None, :]
        return (jax.nn.softmax(scores) @ values[None])[:, 0]

    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5)), jnp.float32)
    weights = jax.nn.softmax(x[0, 0] * x[0])
    expected = jnp.maximum(weights * values[:, 0], 0)[1:].reshape(1, 2, 2)
    found = xattr.generic_attention(model, x, [0], grid=(2, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_linen_with_registers_and_a_wide_grid(method):
    model, images = transformers.linen_vit(), transformers.wide_images(2)
    maps = method(model, images)
    assert maps.shape == (2, 2, 3)
    assert float(maps.min()) >= 0 < float(maps.max())
    given = method(model, images, grid=(2, 3))
    np.testing.assert_array_equal(maps, given)


@pytest.mark.slow
def test_sites_that_are_chosen(method):
    model, images = transformers.tiny_vit(), transformers.images(1)
    names = [found.site.name for found in xattr.program.attentions(model, images)]
    np.testing.assert_array_equal(
        method(model, images, sites=names), method(model, images)
    )
    np.testing.assert_array_equal(
        method(model, images, sites=names[1:]), method(model, images, start_layer=1)
    )


def without_attention(x):
    return x.mean((1, 2))


def two_numbers_of_tokens(x):
    for count in (4, 3):
        x = x[:, :count]
        x = (jax.nn.softmax(x[:, :, None] * x[:, None]) @ x[..., None])[..., 0]
    return x[:, :1]


def flat_patches(x):
    tokens = x.reshape(len(x), 5, 4)
    return (jax.nn.softmax(tokens @ tokens.swapaxes(1, 2)) @ tokens)[:, 0]


@pytest.mark.parametrize(
    ("model", "shape", "settings", "message"),
    [
        (without_attention, (1, 4, 4, 3), {}, "`model` has no self-attention.*fused"),
        (
            two_numbers_of_tokens,
            (1, 4),
            {"grid": (1, 3)},
            r"`sites` have attention over \[3, 4\] tokens.*`sites=\['div:1'\]`",
        ),
        (flat_patches, (1, 20), {}, r"`grid`=None: the 5 tokens.*`grid=\(2, 2\)`"),
        (flat_patches, (1, 20), {"grid": (2, 3)}, r"`grid`=\(2, 3\): the 5 tokens"),
        (
            flat_patches,
            (1, 20),
            {"grid": (2, 2), "start_layer": 1},
            "`start_layer`=1, but there are 1 layers",
        ),
        (
            flat_patches,
            (1, 20),
            {"sites": ("dot:0",)},
            r"`sites`=\('dot:0',\) must be names of softmaxes.*\['div:0'\]",
        ),
        (flat_patches, (1, 20), {"sites": "div:0"}, "`sites`='div:0' must be names"),
    ],
)
def test_what_can_not_be_read(method, model, shape, settings, message):
    with pytest.raises(ValueError, match=message):
        method(model, jnp.ones(shape), **settings)


def test_options_that_are_none():
    model, images = transformers.tiny_vit(), transformers.images(1)
    with pytest.raises(
        ValueError, match="`head_fusion`='sum' must be one of mean, max"
    ):
        xattr.attention_rollout(model, images, head_fusion="sum")
    with pytest.raises(ValueError, match=r"`discard_ratio`=1.0 must be in \[0, 1\)"):
        xattr.attention_rollout(model, images, discard_ratio=1.0)
