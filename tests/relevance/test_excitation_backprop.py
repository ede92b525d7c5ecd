"""Excitation backprop: the paper's chances, loops against programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.networks import images, tiny_convnet
from tests.oracles import relevance_excitation as oracles

METHODS = {
    False: xattr.excitation_backprop,
    True: xattr.contrastive_excitation_backprop,
}


def tensors(seed=4):
    noise = np.random.default_rng(seed)
    shapes = {"first": (3, 3, 2, 4), "second": (3, 3, 4, 4), "head": (4, 3)}
    drawn = {name: noise.normal(size=shape) for name, shape in shapes.items()}
    drawn |= {name: noise.normal(size=4) for name in ("bias", "mean")}
    # One scale is negative: batch norm is part of the weights.
    scale = np.array([0.5, 2.0, -1.5, 1.0])
    return drawn | {"scale": scale, "head bias": noise.normal(size=3)}


def apply(t, x):
    def convolved(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=numbers
        )

    x = jax.nn.relu(convolved(x, t["first"]) + t["bias"][None, None, None])
    x = jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    )
    scale, mean = (t[name][None, None, None] for name in ("scale", "mean"))
    x = jax.nn.relu(convolved(x, t["second"]) * scale + mean + x)
    return x.mean((1, 2)) @ t["head"] + t["head bias"][None]


@pytest.mark.parametrize("contrastive", METHODS)
@pytest.mark.parametrize("signed", [False, True])
def test_chances_are_those_of_loops(contrastive, signed):
    drawn = np.random.default_rng(1).normal(size=(2, 6, 8, 2))
    drawn = drawn if signed else np.abs(drawn)
    with jax.enable_x64(True):
        model = xattr.Model(apply, jax.tree.map(jnp.asarray, tensors()))
        found = METHODS[contrastive](model, jnp.asarray(drawn), [2, 0])
    oracle = oracles.Network(tensors())
    for image, target, map_ in zip(drawn, (2, 0), found, strict=True):
        start = np.eye(3)[target]
        wanted = oracle.chances(image, start, contrastive=contrastive)["image"]
        assert np.abs(wanted).max() > 0
        np.testing.assert_allclose(map_, wanted, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("contrastive", METHODS)
@pytest.mark.parametrize(
    ("site", "layer"), [("relu:1", "sum"), ("max_pool:0", "pooled")]
)
def test_chances_of_units_are_those_of_loops(contrastive, site, layer):
    drawn = np.abs(np.random.default_rng(1).normal(size=(2, 6, 8, 2)))
    with jax.enable_x64(True):
        model = xattr.Model(apply, jax.tree.map(jnp.asarray, tensors()))
        found = METHODS[contrastive](model, jnp.asarray(drawn), [2, 0], site=site)
    oracle = oracles.Network(tensors())
    for image, target, map_ in zip(drawn, (2, 0), found, strict=True):
        wanted = oracle.chances(image, np.eye(3)[target], contrastive=contrastive)
        np.testing.assert_allclose(map_, wanted[layer], rtol=1e-9, atol=1e-15)


def test_units_within_a_layer_have_none():
    model = xattr.Model(apply, tensors())
    with pytest.raises(ValueError, match=r"`site`='conv:0'.*Choose one of .*relu:0"):
        xattr.excitation_backprop(model, jnp.ones((1, 6, 8, 2)), site="conv:0")


def test_chances_sum_to_one_layer_by_layer():
    """Where each winner is excited, as here, nothing is lost."""
    image = np.abs(np.random.default_rng(1).normal(size=(6, 8, 2)))
    weights = tensors() | {"bias": -np.ones(4), "mean": -np.ones(4)}
    found = oracles.Network(weights).chances(image, np.eye(3)[1])
    for chances in found.values():
        assert chances.min() >= 0
    for name in ("features", "sum", "pooled", "first", "image"):
        np.testing.assert_allclose(found[name].sum(), 1, rtol=1e-12)
    with jax.enable_x64(True):
        model = xattr.Model(apply, jax.tree.map(jnp.asarray, weights))
        map_ = xattr.excitation_backprop(model, jnp.asarray(image)[None], [1])
    map_ = np.asarray(map_)
    assert map_.min() >= 0
    np.testing.assert_allclose(map_.sum(), 1, rtol=1e-12)


def test_skip_connections_by_hand():
    """Of 3 + 1 a quarter goes through the branch; taking away wins nothing."""

    def model(x):
        skip = x @ jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        branch = x @ jnp.array([[0.0, 0.0], [0.0, -1.0], [0.5, -1.0]])
        return (skip + branch) @ jnp.array([[1.0], [1.0]])

    x = jnp.array([[3.0, 4.0, 2.0]])
    # Sums: 3 + 1 and 4 - 6. Chances 4/4 and 0 of the head, for -2 is below zero.
    found = xattr.excitation_backprop(model, x, [0])
    np.testing.assert_allclose(found, [[0.75, 0, 0.25]], rtol=1e-6)
    signs = jnp.array([[1.0, -1.0, 1.0]])
    minus = xattr.excitation_backprop(lambda x: x[:, :1] - x[:, 1:2], x * signs)
    np.testing.assert_allclose(minus, [[3 / 7, 4 / 7, 0]], rtol=1e-6)


def test_biases_win_nothing_and_lose_what_they_decide():
    weights, biases = jnp.array([[1.0, -1.0]]), jnp.array([[0.5, 3.0]])

    def model(x):
        return jax.nn.relu(x @ weights + biases) @ jnp.array([[1.0], [1.0]])

    # Units 2.5 and 1: the second wins by its bias alone.
    found = xattr.excitation_backprop(model, jnp.array([[2.0]]), [0])
    np.testing.assert_allclose(found, [[2.5 / 3.5]], rtol=1e-6)


@pytest.mark.parametrize("contrastive", METHODS)
def test_scale_of_images_and_scores_changes_nothing(contrastive):
    """Chances: without biases they know of directions alone."""
    model = tiny_convnet(jax.random.key(1), bias=False)
    method = METHODS[contrastive]
    maps = method(model, jnp.abs(images(2)), [0, 3])
    larger = method(model, 7 * jnp.abs(images(2)), [0, 3])
    np.testing.assert_allclose(larger, maps, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(
        maps.sum((1, 2, 3)), 0 if contrastive else 1, rtol=1e-5, atol=1e-5
    )


def test_the_opposite_class_has_the_opposite_contrast():
    head = jnp.array([[1.0, -1.0], [-2.0, 2.0], [3.0, -3.0]])
    x = jnp.array([[3.0, 5.0, 1.0]])
    one, other = (
        xattr.contrastive_excitation_backprop(lambda x: x @ head, x, [k])
        for k in (0, 1)
    )
    np.testing.assert_allclose(one, -other, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS.values())
def test_probabilities_are_refused(method):
    def model(x):
        return jax.nn.softmax(jax.nn.relu(x))

    with pytest.raises(ValueError, match="the model ends in a softmax"):
        method(model, jnp.ones((1, 3)))
