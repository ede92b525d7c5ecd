"""Conductance, internal influence and integrated gradients of a site's units."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.networks import images, tiny_convnet
from tests.oracles import paths_units as oracle
from xattr import testing

METHODS = {
    "conductance": xattr.conductance,
    "internal_influence": xattr.internal_influence,
    "layer_integrated_gradients": xattr.layer_integrated_gradients,
}
TARGETS = jnp.array([0, 3])


def dense(weights, x):
    first, second, head = weights
    return jnp.tanh(jnp.tanh(x @ first) @ second) @ head


@pytest.mark.parametrize("rule", ["midpoint", apart("right")])
@pytest.mark.parametrize("name", METHODS)
def test_equals_the_sum_restated(name, rule):
    random = np.random.default_rng(0)
    weights = [random.normal(size=size) for size in ((4, 3), (3, 5), (5, 2))]
    x, start = random.normal(size=(2, 2, 4))
    with jax.enable_x64(True):
        found = METHODS[name](
            xattr.Model(dense, jax.tree.map(jnp.asarray, weights)),
            jnp.asarray(x),
            jnp.array([1, 0]),
            site="tanh:0",
            baseline=jnp.asarray(start),
            num_steps=5,
            rule=rule,
            chunk_size=3,
        )
    net, steps = oracle.Dense(*weights), getattr(oracle, rule)(5)
    for n, target in enumerate((1, 0)):
        expected = getattr(oracle, name)(net, x[n], start[n], target, steps)
        np.testing.assert_allclose(found[n], expected, rtol=1e-10)


@pytest.fixture(scope="module")
def model():
    return tiny_convnet(jax.random.key(1))


@pytest.mark.parametrize("site", ["conv:0", "relu:0", "relu:1"])
def test_conductance_sums_to_what_integrated_gradients_do(model, site):
    """In the same steps, whatever their number, at every site that nothing passes."""
    settings = {"num_steps": 3, "baseline": 0.4, "rule": "gauss_legendre"}
    units = xattr.conductance(model, images(2), TARGETS, site=site, **settings)
    pixels = xattr.integrated_gradients(model, images(2), TARGETS, **settings)
    np.testing.assert_allclose(
        units.sum((1, 2, 3)), pixels.sum((1, 2, 3)), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", ["conductance", "layer_integrated_gradients"])
@pytest.mark.parametrize("site", ["conv:0", apart("softplus:1")])
def test_complete_on_a_smooth_network(name, site):
    smooth = tiny_convnet(jax.random.key(1), smooth=True)
    settings = {"num_steps": 8, "rule": "gauss_legendre", "site": site}
    units = METHODS[name](smooth, images(2), TARGETS, **settings)
    outputs = smooth(images(2)) - smooth(jnp.zeros_like(images(2)))
    change = outputs[np.arange(2), TARGETS]
    np.testing.assert_allclose(units.sum((1, 2, 3)), change, rtol=1e-4)


@pytest.mark.slow
def test_several_baselines_are_averaged(model):
    levels = jnp.array([0.0, 1.0])[:, None, None, None, None]
    several = jnp.broadcast_to(levels, (2, 1, 12, 12, 3))
    for name in ("conductance", "internal_influence"):
        method = functools.partial(
            METHODS[name], model, images(2), TARGETS, site="relu:0", num_steps=3
        )
        found = method(baseline=several)
        expected = (method(baseline=0.0) + method(baseline=1.0)) / 2
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_one_step_at_the_image_is_the_gradient(model):
    found = xattr.internal_influence(
        model, images(2), TARGETS, site="relu:1", rule="right", num_steps=1
    )
    head = np.asarray(model.params["head"])[:, TARGETS].T / 36
    expected = np.broadcast_to(head[:, None, None], (2, 6, 6, 6))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_no_target_means_the_class_predicted_on_the_image(model):
    batch = images(3) + jnp.array([-2.0, 0.0, 2.0])[:, None, None, None]
    predicted = model(batch).argmax(1)
    assert len(set(predicted.tolist())) > 1
    for method in METHODS.values():
        explain = functools.partial(method, site="conv:1", num_steps=2)
        np.testing.assert_allclose(
            explain(model, batch), explain(model, batch, predicted), rtol=1e-5
        )


def test_influence_keeps_the_contracts(model):
    """The others are rows of the table of methods."""
    method = functools.partial(xattr.internal_influence, site="conv:0", num_steps=3)
    testing.assert_batch_independent(method, model, images(2), TARGETS)
    testing.assert_chunk_independent(
        method, model, images(2), TARGETS, chunk_sizes=(4,)
    )


def around(x):
    """What passes around `tanh:0` is a term of its own."""
    return (jnp.tanh(x) * 3 + x**2).sum(-1, keepdims=True)


def test_what_passes_around_the_site_is_left_out():
    x = jnp.array([[2.0, -1.0]])
    through = 3 * np.tanh(np.asarray(x))
    for name in ("conductance", "layer_integrated_gradients"):
        found = METHODS[name](around, x, site="tanh:0", num_steps=64)
        np.testing.assert_allclose(found, through, rtol=1e-3)


def test_what_passes_around_stays_that_of_the_image():
    def model(x):
        return (jnp.tanh(x) * x**2).sum(-1, keepdims=True)

    x = jnp.array([[2.0, -1.0]])
    found = xattr.layer_integrated_gradients(model, x, site="tanh:0", num_steps=1)
    np.testing.assert_allclose(found, jnp.tanh(x) * x**2, rtol=1e-6)


@jax.custom_vjp
def backward_only(x):
    return 2 * x


backward_only.defvjp(lambda x: (2 * x, None), lambda _, g: (2 * g,))


def test_derivatives_that_only_run_backward():
    def below(x):
        return (jax.nn.relu(backward_only(x)) ** 2).sum(-1, keepdims=True)

    x = jnp.array([[3.0, -1.0]])
    found = xattr.layer_integrated_gradients(below, x, site="relu:0")
    np.testing.assert_allclose(found, [[36.0, 0.0]], rtol=1e-5)
    with pytest.raises(TypeError, match="forward-mode"):
        xattr.conductance(below, x, site="relu:0")


def channels_first(params, x):
    x = jax.lax.conv_general_dilated(
        x, params, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NCHW")
    )
    return jax.nn.relu(x).mean((2, 3))


def channels_last(params, x):
    x = jax.lax.conv_general_dilated(
        x, params, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.relu(x).mean((1, 2))


@pytest.mark.parametrize("name", METHODS)
def test_units_have_their_channels_last(name, key):
    kernel = jax.random.normal(key, (3, 3, 3, 4))
    first, last = (
        METHODS[name](xattr.Model(apply, kernel), images(2), site="relu:0", num_steps=2)
        for apply in (channels_first, channels_last)
    )
    assert first.shape == (2, 12, 12, 4)
    np.testing.assert_allclose(first, last, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", METHODS)
def test_towards_a_unit_of_another_site(model, name):
    upper = xattr.at_site(model, "conv:1")
    found = METHODS[name](
        upper,
        images(2),
        jnp.array([[2, 3, 1], [0, 5, 4]]),
        site="conv:0",
        score=xattr.unit,
        num_steps=2,
    )
    assert found.shape == (2, 12, 12, 4)
    # With stride 2, no unit sees more than the 3 x 3 cells around it.
    seen = np.argwhere(np.asarray(found[0]).any(-1))
    assert len(seen)
    assert np.abs(seen - [5, 7]).max() <= 1


def test_conductance_of_each_pixel_through_one_unit(model):
    """What integrated gradients lose when no gradient passes the unit."""
    place = (2, 3, 1)

    def stopped(activation):
        unit = jnp.zeros(activation.shape, bool).at[(slice(None), *place)].set(True)
        return jnp.where(unit, jax.lax.stop_gradient(activation), activation)

    explain = functools.partial(
        xattr.integrated_gradients, images=images(2), targets=TARGETS, num_steps=4
    )
    without = explain(xattr.edit(model, {"relu:0": stopped}))
    pixels = explain(model) - without
    units = xattr.conductance(model, images(2), TARGETS, site="relu:0", num_steps=4)
    np.testing.assert_allclose(
        pixels.sum((1, 2, 3)), units[(slice(None), *place)], rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, "`num_steps`=0; it must be at least 1"),
        ({"rule": "simpson"}, "`rule`='simpson' is no quadrature rule"),
        ({"site": "relu:7"}, "`site`='relu:7' is not a site"),
        ({"axes": "hwc"}, "axes 'hwc' \\(given\\); one of them must be the batch"),
        ({"axes": "nxyc"}, "`axes`='nxyc' has 'x', 'y'; each letter must be one of"),
        ({"baseline": jnp.zeros((1, 3, 3, 3))}, "`baseline` has shape"),
    ],
)
def test_what_they_refuse(model, name, settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS[name](model, images(1), **{"site": "relu:0"} | settings)
