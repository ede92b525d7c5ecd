import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import metrics_robustness as oracle
from xattr.metrics import average_sensitivity, local_lipschitz, max_sensitivity

METRICS = {
    "max": max_sensitivity,
    "average": average_sensitivity,
    "lipschitz": local_lipschitz,
}
TARGETS = [1, 3]


def drawn(key, num, sample):
    """Noise that is drawn for an image with this key."""
    apart = jax.random.fold_in(key, 2**32 - 1)
    own = jax.vmap(lambda s: jax.random.fold_in(apart, s))(jnp.arange(num))
    return np.asarray(jax.vmap(lambda k: sample(k, networks.SHAPE))(own))


def evenly(key, shape):
    return jax.random.uniform(key, shape, minval=-1, maxval=1)


@pytest.fixture(params=METRICS)
def metric(request):
    return functools.partial(METRICS[request.param], num_samples=5)


@pytest.fixture
def model(key):
    return networks.tiny_convnet(key, smooth=True)


def restated(explain, image, key, options):
    if "stddev" in options:
        noise = options["stddev"] * drawn(key, 5, jax.random.normal)
        return max(oracle.slopes(explain, image, noise))
    noise = options["radius"] * drawn(key, 5, evenly)
    return oracle.changes(explain, image, noise, options.get("relative", True))


@pytest.mark.parametrize(
    ("metric", "options", "reduce"),
    [
        (max_sensitivity, {"radius": 0.2}, np.max),
        (max_sensitivity, {"radius": 0.2, "relative": False}, np.max),
        (average_sensitivity, {"radius": 0.3}, np.mean),
        (average_sensitivity, {"radius": 0.3, "relative": False}, np.mean),
        (local_lipschitz, {"stddev": 0.2}, np.max),
    ],
)
def test_it_is_the_loop_over_its_noise(model, metric, options, reduce):
    x, keys = networks.images(2), jax.random.split(jax.random.key(3), 2)
    found = metric(
        xattr.gradient, model, x, TARGETS, num_samples=5, key=keys, **options
    )
    for n, target in enumerate(TARGETS):

        def explain(image, target=target):
            one = jnp.asarray(image, jnp.float32)[None]
            return np.asarray(xattr.gradient(model, one, [target])[0], np.float64)

        values = restated(explain, np.asarray(x[n]), keys[n], options)
        np.testing.assert_allclose(found[n], reduce(values), rtol=2e-4)


def test_a_map_that_never_changes_has_none(metric, key):
    weights = jax.random.normal(key, networks.SHAPE)

    def linear(x):
        return (x * weights[None]).sum((1, 2, 3))[:, None]

    found = metric(xattr.gradient, linear, networks.images(2), key=key)
    np.testing.assert_array_equal(found, [0, 0])


def test_slope_of_a_linear_map(key):
    def square(x):
        return (1.5 * x**2).sum((1, 2, 3))[:, None]

    found = local_lipschitz(
        xattr.gradient, square, networks.images(2), num_samples=4, key=key
    )
    np.testing.assert_allclose(found, [3, 3], rtol=1e-4)


def test_a_map_of_zeros_is_not_divided(key):
    def square(x):
        return (x**2).sum((1, 2, 3))[:, None]

    zeros = jnp.zeros((1, *networks.SHAPE))
    options = {"num_samples": 4, "key": key}
    found = max_sensitivity(xattr.gradient, square, zeros, **options)
    kept = max_sensitivity(xattr.gradient, square, zeros, relative=False, **options)
    assert found[0] > 0
    np.testing.assert_array_equal(found, kept)


def test_each_image_has_its_own_key(metric, model, key):
    x, keys = networks.images(3), jax.random.split(key, 3)
    together = metric(xattr.gradient, model, x, key=keys)
    alone = metric(xattr.gradient, model, x[1:2], key=keys[1:2])
    np.testing.assert_allclose(alone, together[1:2], rtol=1e-4)
    assert not np.allclose(together, metric(xattr.gradient, model, x, key=keys[::-1]))


def test_the_class_is_that_of_the_clean_image(metric, key):
    def model(x):
        total = x.sum((1, 2, 3))
        return jnp.stack([total**2, 2 - (total + 1) ** 2 / 2], -1)

    x = jnp.full((1, 2, 2, 1), 0.15)
    by_default = metric(xattr.gradient, model, x, key=key)
    target = model(x).argmax(1)
    np.testing.assert_allclose(
        by_default, metric(xattr.gradient, model, x, target, key=key)
    )
    other = metric(xattr.gradient, model, x, 1 - target, key=key)
    assert not np.allclose(by_default, other)


def test_a_method_that_draws_sees_the_same_draws(metric, key):
    def linear(x):
        return x.sum((1, 2, 3))[:, None]

    assert (metric(random_map, linear, networks.images(1), key=key) == 0).all()


def random_map(model, images, targets=None, *, key=None):
    del model, targets
    return jax.vmap(lambda k: jax.random.normal(k, images.shape[1:]))(key)


@pytest.mark.slow
def test_arrays_of_a_method_belong_to_their_images(model, key):
    x, starts = networks.images(3), networks.images(3, seed=1)
    keys = jax.random.split(key, 3)

    def measured(rows):
        method = functools.partial(
            xattr.integrated_gradients, num_steps=2, baseline=starts[rows]
        )
        return max_sensitivity(
            method, model, x[rows], [0, 1, 2][rows], num_samples=3, key=keys[rows]
        )

    alone = [measured(slice(i, i + 1))[0] for i in range(3)]
    np.testing.assert_allclose(measured(slice(None)), alone, rtol=1e-3)


def test_all_samples_are_one_program(model, key):
    x, traces = networks.images(1), []

    @jax.jit
    def method(model, images, targets=None, *, key=None):
        traces.append(images)
        return xattr.gradient(model, images, targets)

    max_sensitivity(method, model, x, num_samples=3, key=key)
    assert len(traces) == 1


def test_errors(metric, model, key):
    x = networks.images(1)
    with pytest.raises(ValueError, match="`key` is None"):
        metric(xattr.gradient, model, x)
    with pytest.raises(ValueError, match="`num_samples`=0"):
        metric(xattr.gradient, model, x, num_samples=0, key=key)
    with pytest.raises(TypeError, match="`method` is a str"):
        metric("gradient", model, x, key=key)
    name = "stddev" if metric.func is local_lipschitz else "radius"
    with pytest.raises(ValueError, match=f"`{name}`=0"):
        metric(xattr.gradient, model, x, key=key, **{name: 0})
