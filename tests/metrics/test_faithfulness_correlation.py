"""Faithfulness correlation, mu-fidelity and sensitivity-n: one loop, three draws."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import metrics_correlations as oracle
from xattr.metrics import faithfulness_correlation, mu_fidelity, sensitivity_n
from xattr.metrics._mu_fidelity import random_cells
from xattr.metrics._subsets import random_pixels, settled

SIZE = (12, 12)
WEIGHTS = jax.random.normal(jax.random.key(3), (1, *SIZE, 3))


def linear(x):
    return (x * WEIGHTS).sum((1, 2, 3))[:, None]


def to_last(found):
    return getattr(found, "correlations", found)


SLOW = pytest.mark.slow
METRICS = {
    "faithfulness_correlation": partial(
        faithfulness_correlation, num_samples=7, subset_size=20
    ),
    "mu_fidelity": partial(mu_fidelity, num_samples=7, grid=4),
    "sensitivity_n": partial(sensitivity_n, num_samples=7, sizes=(1, 40)),
}
every = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
# They share their loop: one of them speaks for the others.
shared = pytest.mark.parametrize(
    "metric",
    [
        pytest.param(metric, id=name, marks=[] if name == "mu_fidelity" else SLOW)
        for name, metric in METRICS.items()
    ],
)


def drawn(key, num):
    return jax.vmap(lambda s: jax.random.fold_in(key, s))(jnp.arange(num))


def one_by_one(key, compare, draw):
    """The oracle's values for two images, and the data and options they are for."""
    model = networks.tiny_convnet(key, dtype=jnp.float64)
    x, fill = (networks.images(2, seed=s, dtype=jnp.float64) for s in (0, 1))
    maps = jax.random.normal(jax.random.key(8), (2, *SIZE), jnp.float64)
    keys = jax.random.split(jax.random.key(5), 2)
    evaluate = jax.jit(lambda x: model(x))
    values = []
    for n, target in enumerate([1, 3]):

        def score(pixels, target=target):
            z = np.exp(np.asarray(evaluate(pixels[None])[0]))
            return z[target] / z.sum()

        image, own, other, subsets = map(
            np.asarray, (x[n], maps[n], fill[n], draw(keys[n]))
        )
        found = oracle.sums_and_drops(score, image, own, subsets, other)
        values.append(compare(*found))
    options: dict[str, Any] = {"baseline": fill, "key": keys}
    return values, (model, x, maps, [1, 3]), options


def test_faithfulness_correlation_is_the_loop_over_subsets(key):
    with jax.enable_x64(True):

        def draw(key):
            return random_pixels(drawn(key, 9), jnp.full(9, 20), SIZE)

        expected, data, options = one_by_one(key, oracle.pearson, draw)
        found = faithfulness_correlation(
            *data, num_samples=9, subset_size=20, chunk_size=4, **options
        )
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_mu_fidelity_is_the_loop_over_cells(key):
    with jax.enable_x64(True):

        def draw(key):
            taken = [jax.random.bernoulli(k, 0.3, (5, 5)) for k in drawn(key, 9)]
            return np.stack([oracle.cells(np.asarray(t), SIZE) for t in taken])

        expected, data, options = one_by_one(key, oracle.spearman, draw)
        found = mu_fidelity(
            *data, num_samples=9, grid=5, subset=0.3, chunk_size=4, **options
        )
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_sensitivity_n_is_the_loop_over_sizes(key):
    with jax.enable_x64(True):
        sizes = np.repeat([2, 50], 6)

        def draw(key):
            return random_pixels(drawn(key, 12), jnp.asarray(sizes), SIZE)

        def compare(sums, drops):
            return [oracle.pearson(sums[i : i + 6], drops[i : i + 6]) for i in (0, 6)]

        expected, data, options = one_by_one(key, compare, draw)
        found = sensitivity_n(
            *data,
            sizes=(2, 50),
            num_samples=6,
            score=xattr.probability,
            chunk_size=5,
            **options,
        )
        np.testing.assert_allclose(found.correlations, expected, rtol=1e-9)
        np.testing.assert_array_equal(found.sizes, [2, 50])


@every
def test_perfect_opposite_and_unrelated_maps(metric, key):
    x = networks.images(1)
    perfect = (x * WEIGHTS).sum(-1)
    found = partial(metric, linear, x, score=xattr.logit, num_samples=60, key=key)
    np.testing.assert_allclose(to_last(found(perfect)), 1, atol=1e-4)
    np.testing.assert_allclose(to_last(found(-perfect)), -1, atol=1e-4)
    other = jax.random.normal(jax.random.key(9), perfect.shape)
    # The root of a number of samples is the standard error of no correlation; maps of
    # 16 cells that are unrelated may correlate by chance, by one over their root.
    assert np.abs(to_last(found(other))).max() < 0.8
    # Where all subsets are of one size, none says more than another.
    if "grid" not in metric.keywords:
        assert np.isnan(to_last(found(jnp.full_like(perfect, 0.1)))).all()


@shared
def test_nothing_but_the_image_and_its_key_counts(metric, key):
    model, x = networks.tiny_convnet(key), networks.images(3)
    maps, keys = (x**2).sum(-1), jax.random.split(key, 3)
    whole = to_last(metric(model, x, maps[..., None], key=keys))
    for n in range(3):
        own = slice(n, n + 1)
        alone = to_last(metric(model, x[own], maps[own], key=keys[own], chunk_size=2))
        np.testing.assert_allclose(alone, whole[own], atol=2e-4)


@shared
def test_classes_are_those_of_the_clean_images(metric, key):
    model, x = networks.tiny_convnet(key), networks.images(2)
    maps, clean = (x**2).sum(-1), model(x).argmax(1)
    found = [metric(model, x, maps, t, baseline=2.0, key=key) for t in (None, clean)]
    np.testing.assert_array_equal(*map(to_last, found))


def test_subsets_are_of_their_sizes_and_cover_pixels_alike(key):
    keys = jax.random.split(key, 2000)
    sizes = jnp.tile(jnp.array([3, 7]), 1000)
    found = np.asarray(random_pixels(keys, sizes, (2, 5)))
    np.testing.assert_array_equal(found.sum((1, 2)), sizes)
    # Each is in half of the subsets, give or take five standard errors.
    assert np.abs(found.mean(0) - 0.5).max() < 5 * 0.5 / np.sqrt(2000)


def test_cells_are_taken_with_their_probability(key):
    found = np.asarray(random_cells(jax.random.split(key, 2000), 3, 0.2, (7, 8)))
    assert np.abs(found.mean(0) - 0.2).max() < 5 * 0.4 / np.sqrt(2000)


def test_what_differs_by_rounding_is_constant():
    rows = jnp.array([[1e6, 1e6 + 0.5], [0.0, 1e-30], [0.0, 0.0]])
    np.testing.assert_array_equal(np.ptp(settled(rows), axis=1) > 0, [0, 1, 0])


def test_sizes_are_powers_of_two_to_four_fifths(key):
    x = networks.images(1)[:, :4, :5]
    found = sensitivity_n(
        lambda x: x.sum((1, 2, 3))[:, None], x, x.sum(-1), num_samples=2, key=key
    )
    np.testing.assert_array_equal(found.sizes, [1, 2, 4, 8, 16])


@pytest.mark.parametrize(
    ("metric", "options", "error", "message"),
    [
        ("faithfulness_correlation", {"num_samples": 1}, ValueError, "at least 2"),
        ("faithfulness_correlation", {"subset_size": 144}, ValueError, "144 pixels"),
        ("faithfulness_correlation", {"subset_size": 0.1}, TypeError, "whole number"),
        ("mu_fidelity", {"grid": 13}, ValueError, "`grid=12`"),
        ("mu_fidelity", {"subset": 20}, ValueError, "between 0 and 1"),
        ("sensitivity_n", {"sizes": ()}, ValueError, "`sizes` is empty"),
        ("sensitivity_n", {"sizes": (1, 200)}, ValueError, "`sizes`=200"),
        ("sensitivity_n", {"key": None}, ValueError, "draws at random"),
    ],
)
def test_errors_name_the_argument(metric, options, error, message, key):
    x = networks.images(1)
    with pytest.raises(error, match=message):
        METRICS[metric](linear, x, x.sum(-1), **({"key": key} | options))


@every
def test_maps_have_one_number_per_pixel(metric, key):
    x = networks.images(1)
    with pytest.raises(ValueError, match="channel_sum"):
        metric(linear, x, x, key=key)
