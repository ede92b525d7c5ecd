import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart
from tests.networks import images, tiny_convnet
from tests.oracles.paths_guided_integrated_gradients import guided_integrated_gradients
from tests.oracles.paths_integrated_gradients import left_sum


@pytest.mark.parametrize(
    ("steps", "fraction", "distance"),
    [(20, 0.25, 0.02), (10, 0.1, 0.3), apart(7, 1.0, 1.0), apart(9, 0.5, 0.0)],
)
def test_equals_the_published_algorithm(network, steps, fraction, distance):
    base = 0.5 * images(2, seed=9, dtype=np.float64)
    base = base.at[:, :3].set(network.images[:, :3])
    maps = xattr.guided_integrated_gradients(
        network.model,
        network.images,
        baseline=base,
        num_steps=steps,
        fraction=fraction,
        max_distance=distance,
    )
    for i, (x, b) in enumerate(zip(np.asarray(network.images), base, strict=True)):
        wanted = guided_integrated_gradients(
            network.gradient(i),
            x,
            np.asarray(b),
            steps=steps,
            fraction=fraction,
            max_dist=distance,
        )
        np.testing.assert_allclose(maps[i], wanted, rtol=1e-8, atol=1e-11)


def test_no_distance_is_the_straight_path(network):
    maps = xattr.guided_integrated_gradients(
        network.model, network.images, num_steps=8, max_distance=0.0
    )
    for i, x in enumerate(np.asarray(network.images)):
        wanted = left_sum(network.gradient(i), x, np.zeros_like(x), 8)
        np.testing.assert_allclose(maps[i], wanted, rtol=1e-10, atol=1e-13)


def test_complete_on_a_smooth_network(smooth_network):
    net = smooth_network
    change = net.score(net.images) - net.score(jnp.zeros_like(net.images))
    errors = [
        np.abs(
            xattr.guided_integrated_gradients(
                net.model, net.images, num_steps=steps
            ).sum((1, 2, 3))
            - change
        )
        / np.abs(change)
        for steps in (100, 800)
    ]
    assert errors[1].max() < 1e-2
    assert (errors[1] < errors[0] / 4).all()


@pytest.mark.slow
def test_single_precision_is_near_double():
    x = images(2)
    single = xattr.guided_integrated_gradients(
        tiny_convnet(jax.random.key(1), smooth=True), x, num_steps=50
    )
    with jax.enable_x64(True):
        model = tiny_convnet(jax.random.key(1), smooth=True)
        double = jax.tree.map(lambda p: p.astype(np.float64), model)
        exact = xattr.guided_integrated_gradients(
            double, x.astype(np.float64), num_steps=50
        )
    # Which values come first may change on near ties; the maps hardly do.
    error = np.abs(np.asarray(single) - np.asarray(exact)).max()
    assert error < 1e-2 * np.abs(np.asarray(exact)).max()


def test_image_equal_to_its_baseline_gets_nothing():
    x = images(2)
    maps = xattr.guided_integrated_gradients(
        tiny_convnet(jax.random.key(1)), x, baseline=x, num_steps=4
    )
    assert not maps.any()


def test_refuses_impossible_paths():
    model, x = tiny_convnet(jax.random.key(1)), images(1)
    for name, value, rest in [
        ("num_steps", 0, "at least 1"),
        ("fraction", 0.0, r"in \(0, 1\]"),
        ("fraction", 1.5, r"in \(0, 1\]"),
        ("max_distance", -0.1, "at least 0"),
    ]:
        with pytest.raises(ValueError, match=f"`{name}`={value}; it must be {rest}"):
            xattr.guided_integrated_gradients(model, x, **{name: value})
