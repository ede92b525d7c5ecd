import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.networks import images, tiny_convnet
from xattr.program import biased


def biases(model, x):
    """Names and values."""
    found = biased(model, x)
    outputs, values = jax.jit(found.call)(found.zeros)
    np.testing.assert_allclose(outputs, model(x), rtol=1e-6)
    return {name: values[name].ravel().tolist() for name in found.sites}


SIGNS = jnp.array([[2.0, -3.0]])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda x: x, {"input": [2, -3]}),
        (lambda x: 1 - 2 * x, {"input": [-3, 7]}),
        (lambda x: jax.nn.relu(x) / 2 + 5, {"input": [2, -3], "add:0": [5, 5]}),
        (lambda x: jax.nn.relu6(4 * x), {"input": [8, -12], "relu6:0": [6, 0]}),
        (lambda x: x**2, {"input": [2, -3], "integer_pow:0": [-4, -9]}),
        (lambda x: x * jnp.flip(x), {"input": [2, -3], "mul:0": [6, 6]}),
        # A step has no slope: all of it is bias, constant as it is.
        (lambda x: jnp.sign(x), {"input": [2, -3], "sign:0": [1, -1]}),
        (lambda x: (jnp.flip(x) - 1) * 3 + 1, {"input": [2, -3], "add:0": [-2, -2]}),
        (lambda x: jnp.abs(x).sum(-1, keepdims=True), {"input": [2, -3]}),
        # What two operations read is not theirs to carry further.
        (
            lambda x: jnp.tanh(y := x + 1) + y,
            {"input": [3, -2], "tanh:0": [0.96546, -0.82273]},
        ),
    ],
)
def test_by_hand(model, expected):
    found = biases(model, SIGNS)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6)


def test_a_layer_and_its_batch_norm_have_one():
    def model(x):
        y = jnp.flip(x) + 1  # the layer's bias
        return jax.nn.relu((y - 3) * 2 + 0.5)

    assert biases(model, SIGNS)["add:1"] == [-3.5, -3.5]


def test_nothing_is_found_where_nothing_is_added():
    def model(x):
        x = jax.nn.relu(jnp.where(x > 0, x, 0.1 * x)) @ jnp.ones((2, 4))
        x = jnp.concatenate([jnp.maximum(x, 0), jnp.pad(x, ((0, 0), (1, 1)))], 1)
        return jax.jit(lambda x: x.reshape(-1, 2, 5).max(1).sum(-1) / 3)(x)

    assert list(biases(model, SIGNS)) == ["input"]


def test_names_are_those_of_the_sites(key):
    found = biased(tiny_convnet(key), images(2))
    assert list(found.sites) == ["input", "add:0", "add:1", "add:2"]
    assert [site.axes for site in found.sites.values()] == ["nhwc"] * 3 + ["nc"]


def test_perturbations_enter_where_the_bias_does(key):
    model, x = tiny_convnet(key), images(2)
    found = biased(model, x)
    more = found.zeros | {"add:2": found.zeros["add:2"] + 2}
    np.testing.assert_allclose(found.call(more)[0], model(x) + 2, rtol=1e-5)
