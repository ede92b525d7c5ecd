import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.apart import apart, slow_but
from tests.networks import images, tiny_convnet

MODEL = tiny_convnet(jax.random.key(1))
INNER = {
    "gradient": xattr.gradient,
    "integrated_gradients": functools.partial(
        xattr.integrated_gradients, num_steps=3, rule="trapezoid"
    ),
    "grad_cam": functools.partial(xattr.grad_cam, site="relu:1"),
    "smoothgrad": xattr.smoothgrad(xattr.gradient, num_samples=2),
}
NAMES = slow_but(INNER, {"integrated_gradients"})


@pytest.mark.parametrize("name", NAMES)
def test_smoothgrad_without_noise_is_the_inner_method(name, key):
    x, inner = images(3), INNER[name]
    if name == "smoothgrad":
        inner = xattr.smoothgrad(xattr.gradient, num_samples=2, stddev=0.0)
    smooth = xattr.smoothgrad(inner, num_samples=3, stddev=0.0)
    wanted = inner(MODEL, x, key=key)
    np.testing.assert_allclose(smooth(MODEL, x, key=key), wanted, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("combine", [xattr.smoothgrad, xattr.vargrad])
def test_chunks_and_batches_change_nothing(name, combine, key):
    x, method = images(3), combine(INNER[name], num_samples=4)
    keys = jax.random.split(key, 3)
    maps = method(MODEL, x, key=keys)
    chunked = method(MODEL, x, key=keys, chunk_size=5)
    alone = method(MODEL, x[1:2], key=keys[1:2])
    size = float(jnp.abs(maps).max())
    np.testing.assert_allclose(maps, chunked, rtol=1e-4, atol=1e-5 * size)
    np.testing.assert_allclose(maps[1:2], alone, rtol=1e-4, atol=1e-5 * size)


def test_noise_has_the_stated_spread():
    """Bands of five standard errors: false alarms below one in a million.

    The gradient of the squared sum of values is that of the noisy copy: with S samples
    of spread s, their mean has spread s / sqrt(S), and VarGrad is s^2 (S - 1) / S.
    """
    x = 2 + 4 * jax.random.uniform(jax.random.key(3), (1, 60, 60, 1))
    x = x.at[0, 0, :2, 0].set(jnp.array([2.0, 6.0]))
    wanted, samples, count = 0.25 * 4, 16, 3600
    options = {"num_samples": samples, "stddev": 0.25}

    def model(x):
        return (x**2 / 2).sum((1, 2, 3))[:, None]

    key = jax.random.key(1)
    mean = xattr.smoothgrad(xattr.gradient, **options)(model, x, key=key) - x
    error = wanted / np.sqrt(samples * count)
    assert abs(float(mean.mean())) < 5 * error
    spread = float(mean.std()) * np.sqrt(samples)
    assert abs(spread / wanted - 1) < 5 / np.sqrt(2 * count)
    variance = xattr.vargrad(xattr.gradient, **options)(model, x, key=key)
    relative = float(variance.mean()) / (wanted**2 * (samples - 1) / samples) - 1
    assert abs(relative) < 5 * np.sqrt(2 / (samples * count))


def test_vargrad_is_the_variance_of_its_samples(key):
    """One image's samples, drawn again one at a time from the key of each."""
    x, samples = images(1), 5
    own = jax.random.fold_in(key, 0)
    extent = x.max() - x.min()
    maps = []
    for s in range(samples):
        noise_key = jax.random.split(jax.random.fold_in(own, s))[0]
        noise = jax.random.normal(noise_key, x.shape[1:])[None]
        copy = x + 0.15 * extent * noise
        maps.append(xattr.gradient(MODEL, copy, MODEL(x).argmax(1)))
    maps = np.stack(maps).astype(np.float64)
    options = {"num_samples": samples}
    variance = xattr.vargrad(xattr.gradient, **options)(MODEL, x, key=key)
    np.testing.assert_allclose(variance, maps.var(0), rtol=1e-3, atol=1e-10)
    mean = xattr.smoothgrad(xattr.gradient, **options)(MODEL, x, key=key)
    np.testing.assert_allclose(mean, maps.mean(0), rtol=1e-4, atol=1e-7)


def test_vargrad_keeps_a_small_variance_about_a_large_mean(key):
    def model(x):
        return (1e4 * x + x**2 / 2).sum(1)[:, None]

    x = jnp.tile(jnp.array([[0.0, 0.1]]), (1, 200))
    variance = xattr.vargrad(xattr.gradient, stddev=1.0)(model, x, key=key)
    assert abs(float(variance.mean()) / (0.01 * 24 / 25) - 1) < 0.1


def test_the_class_is_that_of_the_clean_image(key):
    """Noise flips the class of single copies; the maps must not show it."""
    slopes = jnp.array([[1.0, -1.0], [0.5, -0.5]])
    x = jnp.array([[0.01, 0.0]])
    smooth = xattr.smoothgrad(xattr.gradient, num_samples=50, stddev=50.0)
    maps = smooth(lambda x: x @ slopes, x, key=key)
    np.testing.assert_allclose(maps, [[1.0, 0.5]], rtol=1e-5)


def test_samples_and_inner_methods_have_keys_of_their_own(key):
    def reveal(model, images, targets=None, *, key=None, chunk_size=None):
        return jax.vmap(lambda k: jax.random.normal(k, images.shape[1:]))(key)

    x = images(2)
    maps = xattr.smoothgrad(reveal, num_samples=4, stddev=0.0)(MODEL, x, key=key)
    spread = xattr.vargrad(reveal, num_samples=4, stddev=0.0)(MODEL, x, key=key)
    assert not jnp.allclose(maps[0], maps[1])
    assert float(spread.min()) > 0
    both = xattr.ensemble(reveal, reveal)(MODEL, x, key=key)
    assert not jnp.allclose(both, reveal(MODEL, x, key=jax.random.split(key, 2)))


def test_products_magnitudes_and_means():
    x = images(2)
    gradient = xattr.gradient(MODEL, x)
    times = xattr.times_input(xattr.gradient)(MODEL, x)
    np.testing.assert_allclose(times, xattr.input_x_gradient(MODEL, x), rtol=1e-6)
    size = xattr.absolute(xattr.gradient)(MODEL, x)
    np.testing.assert_array_equal(size, jnp.abs(gradient))
    both = xattr.ensemble(xattr.gradient, xattr.absolute(xattr.gradient))(MODEL, x)
    np.testing.assert_allclose(both, jnp.maximum(gradient, 0), atol=1e-9)


def test_options_reach_the_inner_method(key):
    x = images(2)
    smooth = xattr.smoothgrad(xattr.grad_cam, num_samples=2, stddev=0.0)
    maps = smooth(MODEL, x, key=key, site="relu:1", score=xattr.probability)
    wanted = xattr.grad_cam(MODEL, x, site="relu:1", score=xattr.probability)
    np.testing.assert_allclose(maps, wanted, rtol=1e-5, atol=1e-8)


def test_bound_arrays_are_data(key):
    x, base = images(2), jnp.full((1, 12, 12, 3), 0.3)
    inner = functools.partial(xattr.integrated_gradients, num_steps=2, baseline=base)
    smooth = xattr.smoothgrad(inner, num_samples=2, stddev=0.0)
    wanted = inner(MODEL, x)
    np.testing.assert_allclose(smooth(MODEL, x, key=key), wanted, atol=1e-7)
    outside = jax.jit(lambda m, x, k: m(MODEL, x, key=k))(smooth, x, key)
    np.testing.assert_allclose(outside, wanted, atol=1e-7)


@pytest.mark.parametrize("combine", [xattr.smoothgrad, apart(xattr.vargrad)])
def test_arrays_stay_with_their_images(combine, key):
    """Three images and three pairs to a chunk: nothing but care keeps them aligned."""
    x, base, keys = images(3), images(3, seed=4), jax.random.split(key, 3)

    def explain(rows):
        inner = functools.partial(
            xattr.integrated_gradients, num_steps=2, baseline=base[rows]
        )
        method = combine(inner, num_samples=3)
        return method(MODEL, x[rows], key=keys[rows], chunk_size=3)

    maps, alone = explain(slice(None)), explain(slice(1, 2))
    size = float(jnp.abs(alone).max())
    np.testing.assert_allclose(maps[1:2], alone, rtol=1e-4, atol=1e-5 * size)


def test_equal_combinations_are_equal_and_compile_once(key):
    def make(num_steps=2):
        inner = functools.partial(xattr.integrated_gradients, num_steps=num_steps)
        return xattr.smoothgrad(xattr.absolute(inner), num_samples=2)

    assert make() == make()
    assert hash(make()) == hash(make())
    assert make() != make(3)
    assert make(1) != make(True)
    traces = []

    def apply(params, images):
        traces.append(images.shape)
        return MODEL.apply(params, images)

    make()(xattr.Model(apply, MODEL.params), images(2), key=key)
    first = len(traces)
    heavier = jax.tree.map(lambda p: 2 * p, MODEL.params)
    make()(xattr.Model(apply, heavier), images(2, seed=1), key=jax.random.key(5))
    assert len(traces) == first > 0


@pytest.mark.parametrize("combine", [xattr.smoothgrad, apart(xattr.vargrad)])
def test_what_a_combinator_has_set_is_not_overridden(combine, key):
    inner = functools.partial(xattr.expected_gradients, baselines=images(2, seed=4))
    smooth = combine(inner, num_samples=2)
    with pytest.raises(TypeError, match=r"`num_samples` is set .*float32\[2, 12.*=7\)"):
        smooth(MODEL, images(1), key=key, num_samples=7)
    bound = combine(functools.partial(inner, num_samples=3), num_samples=2)
    assert bound(MODEL, images(1), key=key).shape == (1, 12, 12, 3)


def test_says_what_it_is():
    method = xattr.smoothgrad(INNER["grad_cam"], num_samples=3)
    assert repr(method) == (
        "smoothgrad(method=grad_cam(site='relu:1'), num_samples=3, stddev=0.15)"
    )


def test_refuses_what_is_no_method():
    for combine in (xattr.smoothgrad, xattr.vargrad, xattr.absolute, xattr.ensemble):
        with pytest.raises(TypeError, match="`method` is a str; it must be a method"):
            combine("gradient")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="positional arguments .* by name"):
            combine(functools.partial(xattr.gradient, MODEL))
    for combine in (xattr.smoothgrad, xattr.vargrad):
        with pytest.raises(ValueError, match="`num_samples`=0; it must be at least 1"):
            combine(xattr.gradient, num_samples=0)
        with pytest.raises(ValueError, match="`stddev`=-0.1; it must be at least 0"):
            combine(xattr.gradient, stddev=-0.1)
    with pytest.raises(ValueError, match="`methods` is empty"):
        xattr.ensemble()


def test_refuses_maps_that_do_not_fit():
    x, cam = images(2), INNER["grad_cam"]
    with pytest.raises(ValueError, match=r"`method` gives maps of shape \(2, 6, 6\)"):
        xattr.times_input(cam)(MODEL, x)
    with pytest.raises(ValueError, match="`methods` give maps of different shapes"):
        xattr.ensemble(cam, xattr.gradient)(MODEL, x)
