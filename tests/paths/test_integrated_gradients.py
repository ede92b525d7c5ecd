import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.networks import images, tiny_convnet
from tests.oracles import paths_integrated_gradients as oracle

RULES = {
    "midpoint": oracle.midpoint_sum,
    "trapezoid": oracle.trapezoid_sum,
    "right": oracle.right_sum,
}


@pytest.mark.parametrize("rule", RULES)
def test_equals_the_sum_restated(network, rule):
    base = jnp.full_like(network.images, 0.3)
    maps = xattr.integrated_gradients(
        network.model, network.images, baseline=base, num_steps=7, rule=rule
    )
    for i, x in enumerate(np.asarray(network.images)):
        wanted = RULES[rule](network.gradient(i), x, np.full_like(x, 0.3), 7)
        np.testing.assert_allclose(maps[i], wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("rule", "tolerance"),
    [
        ("midpoint", 1e-4),
        ("trapezoid", 1e-4),
        ("right", 2e-1),
        ("gauss_legendre", 1e-9),
    ],
)
def test_complete_on_a_smooth_network(smooth_network, rule, tolerance):
    net = smooth_network
    maps = xattr.integrated_gradients(net.model, net.images, num_steps=64, rule=rule)
    change = net.score(net.images) - net.score(jnp.zeros_like(net.images))
    error = np.abs(maps.sum((1, 2, 3)) - change) / np.abs(change)
    assert error.max() < tolerance
    assert rule == "gauss_legendre" or error.max() > 1e-9


def test_error_falls_by_four_when_steps_double(smooth_network):
    net = smooth_network
    change = net.score(net.images) - net.score(jnp.zeros_like(net.images))
    errors = [
        xattr.integrated_gradients(net.model, net.images, num_steps=steps).sum(
            (1, 2, 3)
        )
        - change
        for steps in (32, 64)
    ]
    np.testing.assert_allclose(errors[0] / errors[1], 4, rtol=0.05)


def test_several_baselines_are_averaged():
    model, x = tiny_convnet(jax.random.key(1)), images(3)
    black, own = jnp.zeros_like(x[:1]), images(3, seed=5)
    both = jnp.stack([jnp.broadcast_to(black, x.shape), own])
    alone = [
        xattr.integrated_gradients(model, x, baseline=b, num_steps=5)
        for b in (black, own)
    ]
    together = xattr.integrated_gradients(model, x, baseline=both, num_steps=5)
    np.testing.assert_allclose(together, (alone[0] + alone[1]) / 2, atol=1e-7)
    chunked = xattr.integrated_gradients(
        model, x, baseline=both, num_steps=5, chunk_size=7
    )
    np.testing.assert_allclose(together, chunked, atol=1e-7)


def test_linear_model_gives_weights_times_distance():
    weights = jnp.array([[2.0, -1.0], [0.5, 3.0], [0.0, 4.0]])
    x, b = jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[0.5, -1.0, 3.0]])
    for rule in (*RULES, "gauss_legendre"):
        maps = xattr.integrated_gradients(
            lambda x: x @ weights,
            x,
            jnp.array([1]),
            baseline=b,
            num_steps=3,
            rule=rule,  # type: ignore[arg-type]
        )
        np.testing.assert_allclose(maps, [[-0.5, 9.0, 0.0]], rtol=1e-6)


def test_values_that_play_one_role_get_one_share():
    def model(x):
        return jnp.tanh(x[:, :1] * x[:, 1:2]) * x[:, 2:]

    maps = xattr.integrated_gradients(model, jnp.array([[0.7, 0.7, 2.0]]))
    assert maps[0, 0] == maps[0, 1] != maps[0, 2]


def test_the_class_is_that_of_the_image_not_of_the_path():
    def model(x):
        return jnp.concatenate([x.sum(1, keepdims=True), 1 - x], axis=1)

    maps = xattr.integrated_gradients(model, jnp.array([[3.0]]), num_steps=4)
    np.testing.assert_allclose(maps, [[3.0]], rtol=1e-6)


COLOR = jnp.array([0.1, 0.5, 0.9])
BASELINES = [1, 0.5, jnp.array(0.5), COLOR, images(1)[0]]


@pytest.mark.parametrize(
    ("method", "baseline"),
    [
        ("guided_integrated", COLOR),
        *(("integrated", baseline) for baseline in BASELINES),
        *(apart("guided_integrated", b) for b in BASELINES if b is not COLOR),
    ],
)
def test_a_baseline_is_a_number_a_color_or_an_image(method, baseline):
    model, x = tiny_convnet(jax.random.key(1)), images(2)
    run = functools.partial(getattr(xattr, f"{method}_gradients"), model, x)
    whole = jnp.broadcast_to(jnp.asarray(baseline), x.shape)
    np.testing.assert_allclose(
        run(baseline=baseline, num_steps=3), run(baseline=whole, num_steps=3), rtol=1e-5
    )


def test_refuses_what_cannot_be_a_baseline():
    model, x = tiny_convnet(jax.random.key(1)), images(2)
    black = [jnp.zeros((12, 12, 3))] * 2
    with pytest.raises(TypeError, match="`baseline` is a list.*jnp.full_like"):
        xattr.integrated_gradients(model, x, baseline=black)  # type: ignore[arg-type]
    for shape in [(3, 12, 12, 3), (2,), (2, 3, 12, 12, 3), (1, 12, 11, 3), (1,) * 6]:
        with pytest.raises(ValueError, match=r"`baseline` has shape .* a number, or"):
            xattr.integrated_gradients(model, x, baseline=jnp.zeros(shape))


def test_memory_does_not_grow_with_the_steps():
    model, x = tiny_convnet(jax.random.key(1)), images(2)

    def scratch(num_steps):
        def run(x):
            return xattr.integrated_gradients(
                model, x, num_steps=num_steps, chunk_size=4
            )

        analysis = jax.jit(run).lower(x).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert scratch(256) < 1.1 * scratch(16)
