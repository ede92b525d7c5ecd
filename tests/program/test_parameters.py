"""Parameters by layer, in the order of the program, however a model is written."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx

import xattr
from tests import networks
from xattr import models
from xattr.program import parameter_layers, rewrite


def layers(model, images):
    """The arrays of each layer, by their shapes."""
    leaves = jax.tree.leaves(model)
    return {
        layer.name: [leaves[i].shape for i in layer.leaves]
        for layer in parameter_layers(model, images)
    }


class Backward(nnx.Module):
    """Its first layer is defined last."""

    def __init__(self, rngs):
        self.head = nnx.Linear(4, 5, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.blocks = nnx.List([nnx.Conv(3, 4, (3, 3), rngs=rngs)])

    def __call__(self, x):
        x = self.norm(self.blocks[0](x))
        return self.head(self.drop(x).mean((1, 2)))


BACKWARD = {
    "blocks/0": [(4,), (3, 3, 3, 4)],
    "norm": [(4,), (4,), (4,), (4,)],
    "head": [(5,), (4, 5)],
}


@pytest.mark.parametrize("change", [lambda model: model, rewrite])
def test_nnx(change):
    """The keys and counts of dropout are no parameters."""
    model = change(xattr.from_nnx(Backward(nnx.Rngs(0))))
    found = layers(model, networks.images(2))
    assert found == BACKWARD
    assert list(found) == list(BACKWARD)


def test_linen():
    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            x = linen.Conv(4, (3, 3), name="late")(x)
            x = linen.BatchNorm(use_running_average=True, name="early")(x)
            return linen.Dense(5)(x.mean((1, 2)))

    images, module = networks.images(2), Net()
    model = xattr.from_linen(module, module.init(jax.random.key(0), images))
    found = layers(model, images)
    assert list(found) == ["late", "early", "Dense_0"]
    assert found["early"] == [(4,)] * 4


def test_equinox():
    key = jax.random.key(0)
    module = eqx.nn.MLP(3, 5, 4, 2, key=key)
    model = xattr.from_function(lambda m, x: jax.vmap(m)(x), module)
    found = layers(model, jnp.ones((2, 3)))
    assert found == {
        "layers/0": [(4, 3), (4,)],
        "layers/1": [(4, 4), (4,)],
        "layers/2": [(5, 4), (5,)],
    }


def test_lists_and_the_top_have_no_modules():
    found = layers(networks.tiny_convnet(jax.random.key(0)), networks.images(2))
    names = ["kernels/0", "biases/0", "kernels/1", "biases/1", "head", "head_bias"]
    assert list(found) == names


def test_order_is_where_parameters_meet_the_images():
    """Casts at the beginning, and weights made of others, say nothing of the order."""

    def apply(params, x):
        late, early, scale = (params[k]["w"].astype(x.dtype) for k in "abc")
        early = early * scale / jnp.linalg.norm(early)
        return jax.jit(lambda x: jax.nn.relu(x @ early))(x) @ late

    params = {k: {"w": jnp.ones((3, 3), jnp.float16)} for k in "abcd"}
    params["d"]["step"] = jnp.array(3)
    assert list(layers(xattr.Model(apply, params), jnp.ones((2, 3)))) == ["b", "c", "a"]


def test_in_the_order_of_a_loop():
    def apply(params, x):
        def step(x, weights):
            return jnp.tanh(x @ weights["v"]["w"]) @ weights["u"]["w"], None

        return jax.lax.scan(step, x @ params["t"]["w"], params["stack"])[0]

    square = jnp.ones((4, 3, 3))
    params = {
        "stack": {"u": {"w": square}, "v": {"w": square}},
        "t": {"w": jnp.ones((3, 3))},
    }
    found = layers(xattr.Model(apply, params), jnp.ones((2, 3)))
    assert list(found) == ["t", "stack/v", "stack/u"]


def test_what_meets_the_images_at_the_outputs_alone():
    def apply(params, x):
        return {"scores": x @ params["a"]["w"], "constant": params["b"]["w"] * 2}

    params = {k: {"w": jnp.ones((3, 3))} for k in "ba"}
    assert list(layers(xattr.Model(apply, params), jnp.ones((2, 3)))) == ["a", "b"]


def test_a_function_has_none():
    assert parameter_layers(lambda x: x, jnp.ones((2, 3))) == ()


def test_a_network_of_the_package():
    model = xattr.from_nnx(models.untrained("cifar10_resnet20", num_classes=4))
    images: Any = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    found = parameter_layers(model, images)
    places = [place for layer in found for place in layer.leaves]
    assert sorted(places) == list(range(len(jax.tree.leaves(model))))
    assert [len(layer.leaves) for layer in found[:3]] == [1, 4, 1]
    assert found[-1].name.startswith("head")
