"""Multiply-adds against what is counted by hand."""

import jax
import jax.numpy as jnp
import pytest

import xattr
from tests import networks
from xattr.program import operations, rewrite


def conv(x, kernel, stride=1, groups=1):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def test_a_dense_layer():
    assert (
        operations(lambda x, w: jnp.tanh(x @ w) + 1, jnp.ones((7, 3)), jnp.ones((3, 5)))
        == 7 * 3 * 5
    )


def test_a_batched_product():
    a = jax.ShapeDtypeStruct((4, 2, 3), jnp.float32)
    assert operations(lambda a: a @ a.swapaxes(1, 2), a) == 4 * 2 * 2 * 3


def test_a_grouped_strided_convolution():
    x, kernel = jnp.ones((2, 8, 8, 6)), jnp.ones((3, 3, 2, 9))
    count = operations(lambda x, k: conv(x, k, 2, 3), x, kernel)
    assert count == 2 * 4 * 4 * 9 * (3 * 3 * 2)


def test_gradients_cost_what_the_convolution_does():
    """Zeros between the entries of a strided one's cotangent are not counted."""
    x, kernel = jnp.ones((2, 8, 8, 6)), jnp.ones((3, 3, 6, 9))
    forward = operations(lambda x, k: conv(x, k, 2), x, kernel)

    def loss(x, k):
        return conv(x, k, 2).sum()

    assert operations(jax.grad(loss, argnums=0), x, kernel) == 2 * forward
    assert operations(jax.grad(loss, argnums=(0, 1)), x, kernel) == 3 * forward


def test_loops_and_branches():
    w = jnp.ones((3, 3))

    def steps(x):
        return jax.lax.scan(lambda x, _: (x @ w, None), x, None, length=5)[0]

    def branch(x):
        return jax.lax.cond(x.sum() > 0, steps, lambda x: x @ w, x)

    x = jnp.ones((2, 3))
    assert operations(steps, x) == 5 * 18
    assert operations(branch, x) == 5 * 18
    assert operations(lambda x: jax.lax.fori_loop(0, 4, lambda _, x: x @ w, x), x) == 72
    assert operations(lambda x: jax.lax.map(jax.jit(lambda r: r @ w), x), x) == 18


def test_a_loop_of_unknown_length():
    def double(x):
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: 2 * x, x)

    def product(x):
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ x, x)

    x = jnp.ones((3, 3))
    assert operations(lambda x: double(x) @ x, x) == 27
    with pytest.raises(ValueError, match="while_loop.*fori_loop"):
        operations(product, x)


def test_a_rewritten_model_and_functions_with_their_own_derivative():
    model, images = networks.tiny_convnet(jax.random.key(0)), networks.images(2)
    by_hand = 2 * (144 * 27 * 4 + 36 * 36 * 6 + 6 * 5)
    assert operations(model, images) == by_hand
    assert operations(rewrite(model), images) == by_hand


def test_a_method():
    """A gradient with respect to the images: each layer twice."""
    model, images = networks.tiny_convnet(jax.random.key(0)), networks.images(2)
    count = operations(lambda x: xattr.gradient(model, x, [0, 1]), images)
    assert count == 2 * operations(model, images)
