import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.networks import images, tiny_convnet
from tests.oracles.relevance_full_grad import Network

MEAN, STDDEV = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.25])


def network():
    random = np.random.default_rng(0)
    sizes = ((3, 5), (5,), (5, 4), (4,), (4, 3), (3,))
    return Network(*(random.normal(size=size) for size in sizes))


def pointwise(x, matrix):
    numbers = ("NHWC", "HWIO", "NHWC")
    kernel = jnp.asarray(matrix)[None, None]
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=numbers
    )


def apply(net, x):
    x = jax.nn.relu(pointwise(x, net.first) + net.first_bias)
    n, h, w, d = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, d).mean((2, 4))
    x = jax.nn.relu(pointwise(x, net.second) + net.second_bias)
    return x.mean((1, 2)) @ net.head + net.head_bias


def apply_normalized(net, x):
    return apply(net, (x - MEAN) / STDDEV)


@pytest.fixture(autouse=True)
def any_rank():
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def batch():
    return np.random.default_rng(1).normal(size=(2, 4, 6, 3))


def test_equals_the_sum_restated(batch):
    net = network()
    terms = xattr.full_gradients(xattr.Model(apply, net), jnp.asarray(batch), [2, 0])
    for n, target in enumerate((2, 0)):
        expected = net.terms(batch[n], target)
        found = [terms[name][n] for name in ("input", "add:0", "add:1")]
        for term, wanted in zip(found, expected[:3], strict=True):
            np.testing.assert_allclose(term, wanted, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(terms["add:2"][n].sum(), expected[3], rtol=1e-9)
        total = sum(float(term[n].sum()) for term in terms.values())
        np.testing.assert_allclose(total, net.score(batch[n], target), rtol=1e-9)


@pytest.mark.parametrize("function", [apply, apply_normalized])
def test_the_map_equals_its_restatement(batch, function):
    """Normalization is part of the image, wherever it is done."""
    net = network()
    given = batch * STDDEV + MEAN if function is apply_normalized else batch
    found = xattr.full_grad(xattr.Model(function, net), jnp.asarray(given), [2, 0])
    for n, target in enumerate((2, 0)):
        expected = net.full_grad(batch[n], target)[..., None]
        np.testing.assert_allclose(found[n], expected, rtol=1e-9, atol=1e-12)


def test_it_is_a_map_of_pixels():
    table = xattr.Model(lambda p, x: x @ p, jnp.ones((4, 2)))
    with pytest.raises(ValueError, match=r"`images` has shape \(3, 4\).*full_gradient"):
        xattr.full_grad(table, jnp.ones((3, 4)))


def test_terms_of_no_size_are_left_out():
    """Neither a bias of zeros nor an image of zeros divides by nothing."""
    model = tiny_convnet(jax.random.key(0), bias=False, dtype=jnp.float64)
    maps = xattr.full_grad(model, jnp.zeros_like(images(1, dtype=jnp.float64)))
    np.testing.assert_array_equal(maps, 0)
