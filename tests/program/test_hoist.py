import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from xattr.program import hoist, rewrite


def operations(function, *arguments):
    return [e.primitive.name for e in jax.make_jaxpr(function)(*arguments).eqns]


def test_what_depends_on_no_argument_is_done_before():
    constant = jnp.arange(6.0)

    def everything(x):
        late = []

        def loop(x):
            late.append(operations(run, x))
            return run(x)

        run = hoist(lambda x: x * jnp.exp(constant) + jnp.sin(x), x)
        return loop(x), late[0]

    x = jnp.ones(6)
    found, late = everything(x)
    np.testing.assert_allclose(found, jnp.exp(constant) + jnp.sin(1.0), rtol=1e-6)
    assert sorted(late) == ["add", "mul", "sin"]


def test_what_would_grow_stays():
    constant = jnp.ones((1, 4))
    x = jnp.ones((100, 4))
    run = hoist(lambda x: x + jnp.broadcast_to(constant * 2, (100, 4)), x)
    late = operations(run, x)
    assert "broadcast_in_dim" in late
    assert "mul" not in late
    np.testing.assert_array_equal(run(x), 3 * np.ones((100, 4)))


def test_what_is_small_again_is_kept():
    """A sum over what grew; what grew is made in each turn, for who else reads it."""
    constant = jnp.arange(4.0)
    x = jnp.ones((100, 4))

    def function(x):
        grown = jnp.broadcast_to(jnp.exp(constant), x.shape) * jnp.ones(x.shape)
        return grown * x, grown.sum(0), constant + 1

    run = hoist(function, x)
    late = operations(run, x)
    assert "exp" not in late
    assert "reduce_sum" not in late
    assert "add" not in late
    for found, expected in zip(run(x), function(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_is_seen_outside_stays():
    seen = []
    constant = jnp.ones(3)

    def shows(x):
        jax.debug.callback(lambda c: seen.append(float(c.sum())), constant)
        return x

    run = hoist(shows, jnp.ones(3))
    jax.effects_barrier()
    assert seen == []
    run(jnp.ones(3)).block_until_ready()
    jax.effects_barrier()
    assert seen == [3.0]


def test_kernels_are_prepared_once():
    """Of the convolution that `rewrite` takes by tiles only the tiles' part is left."""
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 16, 16))
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 16))

    def convolved(kernel, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=numbers
        )

    model = rewrite(xattr.Model(convolved, kernel))

    def gradient(x):
        return jax.grad(lambda x: model(x).sum())(x)

    for function in (model, gradient):
        run = hoist(function, x)
        late = jax.make_jaxpr(run)(x).eqns
        assert not any(v.aval.shape == kernel.shape for e in late for v in e.invars)
        np.testing.assert_allclose(run(x), function(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("wrapped", [jax.jit, jax.checkpoint, jax.vmap])
def test_nested_functions_and_trees(wrapped):
    constant = jnp.arange(1.0, 5.0).reshape(2, 2)

    def function(x, rest):
        product = wrapped(lambda v: v @ jnp.cos(constant))(x)
        return {"sum": product.sum(), "pair": (rest[0] + 1, product)}

    arguments = (
        jnp.ones((3, 2) if wrapped is not jax.vmap else (3, 2, 2)),
        [jnp.ones(1)],
    )
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
    found = jax.jit(hoist(function, *abstract))(*arguments)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        found,
        function(*arguments),
    )


def test_ties_keep_their_derivative():
    """A rectifier at zero: its own rule says 0, that of its maximum 1/2."""
    x = jnp.zeros((1, 2))
    run = hoist(lambda x: jax.nn.relu(x).sum(), x)
    np.testing.assert_array_equal(jax.grad(run)(x), jnp.zeros((1, 2)))


def test_maps_can_be_differentiated_by_parameters():
    """What is hoisted is of the parameters, whose gradient passes through it."""
    model = networks.tiny_convnet(jax.random.key(0), smooth=True)
    x = networks.images(1)

    def total(params, chunk_size):
        maps = xattr.integrated_gradients(
            xattr.Model(model.apply, params),
            x,
            [1],
            num_steps=4,
            chunk_size=chunk_size,
        )
        return (maps**2).sum()

    whole, chunked = (jax.grad(total)(model.params, size) for size in (4, 1))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        chunked,
        whole,
    )
