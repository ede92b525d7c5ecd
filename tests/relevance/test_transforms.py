"""Loops, branches and calls inside of a model, and transformations around a method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

import xattr
from tests.apart import slow_but
from tests.networks import images, tiny_convnet
from xattr import relevance

SQUARE = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32) / 2
STACK = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32) / 2
FIRST = np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)
OFFSETS = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32) / 4


def layer(x, weights=SQUARE, offset=OFFSETS[0]):
    return jax.nn.relu(x @ weights + offset)


def loop(x):
    def step(x, parts):
        return layer(x, *parts), None

    return jax.lax.scan(step, x, (STACK, OFFSETS))[0]


def written_out(x):
    for weights, offset in zip(STACK, OFFSETS, strict=True):
        x = layer(x, weights, offset)
    return x


def recorded(x):
    """A loop whose steps are all read."""

    def step(x, weights):
        x = layer(x, weights)
        return x, x

    return jax.lax.scan(step, x, STACK)[1].sum(0)


def recorded_written_out(x):
    rows = []
    for weights in STACK:
        x = layer(x, weights)
        rows.append(x)
    return rows[0] + rows[1] + rows[2]


def twice(x):
    return jax.lax.fori_loop(0, 2, lambda _, x: layer(x), x)


@jax.custom_jvp
def smooth(x):
    return x * jax.nn.sigmoid(x)


@smooth.defjvp
def _(primals, tangents):
    (x,), (t,) = primals, tangents
    return smooth(x), t


@jax.custom_vjp
def layer_with_a_derivative(x):
    return layer(x)


layer_with_a_derivative.defvjp(lambda x: (layer(x), None), lambda _, g: (g,))

# What is inside of a model, and the same without it.
INSIDE = {
    "scan": (loop, written_out),
    "scan backwards": (
        lambda x: jax.lax.scan(
            lambda x, w: (layer(x, w), None), x, STACK, reverse=True
        )[0],
        lambda x: layer(layer(layer(x, STACK[2]), STACK[1]), STACK[0]),
    ),
    "scan of outputs": (recorded, recorded_written_out),
    "scan in scan": (
        lambda x: jax.lax.scan(lambda x, _: (twice(x), None), x, length=2)[0],
        lambda x: layer(layer(layer(layer(x)))),
    ),
    "loop of fixed length": (twice, lambda x: layer(layer(x))),
    "rematerialized": (jax.checkpoint(layer), layer),
    "rematerialized scan": (jax.checkpoint(loop), written_out),
    "nested jit": (
        jax.jit(lambda x: jax.jit(layer)(jax.jit(layer)(x))),
        lambda x: layer(layer(x)),
    ),
    "vmap": (jax.vmap(layer), layer),
    "vmap over positions": (jax.vmap(jax.vmap(layer, 1, 1)), layer),
    "vmap of a scan": (jax.vmap(loop), written_out),
    "derivative of its own": (smooth, jax.nn.silu),
    "layer with a derivative of its own": (layer_with_a_derivative, layer),
    "map": (lambda x: jax.lax.map(layer, x), layer),
}


def model(inside):
    def call(x):
        return inside(jax.nn.relu(x @ FIRST)).mean((1, 2)) @ SQUARE

    return call


METHODS = {
    "lrp": relevance.lrp,
    "guided_backprop": relevance.guided_backprop,
    "deconvnet": relevance.deconvnet,
    "deeplift": relevance.deeplift,
}


@pytest.fixture(autouse=True)
def any_rank():
    with jax.numpy_rank_promotion("allow"):
        yield


FAST = ("scan", "scan of outputs", "nested jit", "vmap", "rematerialized scan")


@pytest.mark.parametrize("name", slow_but(INSIDE, FAST))
def test_what_is_inside_changes_nothing(name):
    x, target = images(2)[:, :4, :4], jnp.array([1, 3])

    @jax.jit
    def run(x):
        return [
            relevance.lrp(
                model(inside),
                x,
                target,
                composite=relevance.epsilon_alpha2_beta1_flat(),
            )
            for inside in INSIDE[name]
        ]

    found, expected = run(x)
    size = np.abs(expected).max()
    assert size > 1e-4
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * size)


@pytest.mark.parametrize(
    "name", slow_but(["guided_backprop", "deconvnet", "deeplift"], ["guided_backprop"])
)
def test_loops_in_gradients(name):
    method, x, target = METHODS[name], images(2)[:, :4, :4], jnp.array([1, 3])
    found, expected = (method(model(f), x, target) for f in (loop, written_out))
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def until_small(x):
    return jax.lax.while_loop(lambda x: (x > 1).any(), lambda x: layer(x) / 9, x)


@pytest.mark.parametrize(
    ("inside", "site"),
    [
        (lambda x: jax.lax.cond(x.sum() > 0, layer, jnp.tanh, x), "cond:0"),
        (until_small, "while:0"),
        (
            lambda x: jax.lax.scan(lambda x, _: (layer(x), None), x, length=999)[0],
            "scan:0",
        ),
    ],
)
@pytest.mark.parametrize("method", [relevance.lrp, relevance.guided_backprop])
def test_what_rules_dont_reach_is_named(inside, site, method):
    with pytest.raises(ValueError, match=rf"'{site}' is a loop or a branch"):
        method(model(inside), images(1)[:, :4, :4], jnp.array([0]))


@pytest.mark.parametrize("name", slow_but(METHODS, []))
def test_around_a_method(name):
    """Compiled, image by image, and all at once."""
    method = METHODS[name]
    network, x, targets = tiny_convnet(jax.random.key(0)), images(3), jnp.arange(3)

    def one(network, image, target):
        return method(network, image[None], target[None])[0]

    expected = method(network, x, targets)
    compiled = jax.jit(method)(network, x, targets)
    mapped = jax.vmap(one, (None, 0, 0))(network, x, targets)
    for found in (compiled, mapped):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", slow_but(METHODS, []))
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.bfloat16])
def test_types(name, dtype):
    """Maps have the images' type, and are close to those of single precision."""
    method = METHODS[name]
    network, x, targets = tiny_convnet(jax.random.key(0)), images(2), jnp.array([0, 2])
    expected = np.asarray(method(network, x, targets))
    with jax.enable_x64(True):
        cast = jax.tree.map(lambda w: jnp.asarray(np.asarray(w), dtype), network)
        found = method(cast, jnp.asarray(np.asarray(x), dtype), jnp.asarray([0, 2]))
        assert found.dtype == dtype
        found = np.asarray(found, np.float64)
    close = 1e-5 if dtype == jnp.float64 else 0.2
    assert np.abs(found - expected).max() < close * np.abs(expected).max()


def half(params, x):
    """Layers in half precision, normalized and rectified in single."""
    kernel, scale, head = params
    numbers = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(
        x.astype(jnp.bfloat16),
        kernel.astype(jnp.bfloat16),
        (1, 1),
        "SAME",
        dimension_numbers=numbers,
    )
    y = jax.nn.silu(y.astype(jnp.float32) * scale + scale).astype(jnp.bfloat16)
    return (y.mean((1, 2)) @ head.astype(jnp.bfloat16)).astype(jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [relevance.epsilon(), relevance.epsilon_gamma_box(low=-4)]
)
def test_types_that_change_inside(how):
    draw = np.random.default_rng(0).normal
    params = draw(size=(3, 3, 3, 4)) / 5, draw(size=4), draw(size=(4, 5))
    network = xattr.Model(
        half, jax.tree.map(lambda w: jnp.asarray(w, jnp.float32), params)
    )
    x, target = images(1), jnp.array([2])
    found = relevance.lrp(network, x, target, composite=how)
    taken = relevance.absorbed(network, x, target, composite=how)
    total = found.sum() + sum(entry[0] for entry in taken.values())
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(total, network(x)[0, 2], rtol=0.05, atol=0.02)


def test_a_relu_in_a_function_with_its_own_derivative_has_its_rule():
    weights = jnp.array([[1.0, -2.0], [0.5, 3.0]])

    def plain(x):
        return jax.nn.relu(x @ weights) @ weights

    own = jax.custom_vjp(plain)
    own.defvjp(lambda x: jax.vjp(plain, x), lambda pull_back, g: pull_back(g))
    x, targets = jnp.array([[1.0, 2.0]]), jnp.array([0])
    for method in (xattr.guided_backprop, xattr.deconvnet):
        assert (method(own, x, targets) == method(plain, x, targets)).all()


def test_what_only_names_or_prints_is_passed_by():
    def named(x):
        y = checkpoint_name(jax.nn.relu(x), "hidden")
        jax.debug.callback(lambda: None)
        return 2 * y

    x, targets = jnp.array([[1.0, 2.0]]), jnp.array([0])
    for method in (xattr.lrp, xattr.guided_backprop, xattr.deeplift):
        assert method(named, x, targets).tolist() == [[2.0, 0.0]]
