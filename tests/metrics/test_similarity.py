"""Similarities of maps, against their definitions and at their extremes."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import metrics_similarity as oracle
from xattr import metrics

CORRELATIONS = ["spearman", "pearson", "cosine"]
SIZE = (13, 15)


def maps(seed=0, shape=SIZE):
    """Two different maps that have something in common, and equal entries."""
    random = np.random.default_rng(seed)
    a = random.integers(-6, 7, (3, *shape)).astype(np.float32)
    b = a + random.normal(size=a.shape).round().astype(np.float32) * 3
    return a, b


@pytest.mark.parametrize("name", CORRELATIONS)
def test_correlations_are_their_definitions(name):
    a, b = maps()
    found = getattr(metrics, name)(a, b)
    expected = [getattr(oracle, name)(u, v) for u, v in zip(a, b, strict=True)]
    assert 0.3 < min(expected)
    assert max(expected) < 0.95
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("window", ["gaussian", "uniform"])
def test_ssim_is_its_definition(window):
    a, b = maps()
    found = metrics.ssim(a, b, window=window)
    expected = [oracle.ssim(u, v, window) for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("cell", "block"), [(4, 3), (5, 2), (3, 1)])
def test_hog_is_its_definition(cell, block):
    a, b = maps()
    # No gradient stands on the border of two bins but those at zero degrees.
    a, b = (x * np.float32(1.1) + np.random.default_rng(1).random(SIZE) for x in (a, b))
    a, b = a.astype(np.float32), b.astype(np.float32)
    found = metrics.hog_pearson(a, b, orientations=9, cell=cell, block=block)
    expected = [
        oracle.pearson(*(oracle.hog(x, 9, cell, block) for x in (u, v)))
        for u, v in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", CORRELATIONS)
def test_equal_maps_and_opposite_ones(name):
    similarity = getattr(metrics, name)
    a, _ = maps()
    np.testing.assert_allclose(similarity(a, a), 1, rtol=1e-5)
    np.testing.assert_allclose(similarity(a, -a), -1, rtol=1e-5)


def test_ssim_of_a_map_and_its_negative_has_two_signs():
    a, _ = maps()
    np.testing.assert_allclose(metrics.ssim(a, a), 1, rtol=1e-5)
    assert (metrics.ssim(a, -a) > 0.5).all()
    # About a mean far from zero, the patterns alone are opposite.
    assert (metrics.ssim(a + 100, 100 - a) < -0.5).all()


def test_hog_ignores_the_sign():
    a, b = maps()
    options = {"cell": 4}
    np.testing.assert_allclose(metrics.hog_pearson(a, -a, **options), 1, rtol=1e-4)
    assert (metrics.hog_pearson(a, b, **options) < 0.9).all()


def test_ranks_ignore_increasing_functions():
    a, b = maps()
    np.testing.assert_array_equal(
        metrics.spearman(a, b), metrics.spearman(np.exp(a), b**3)
    )


@pytest.mark.parametrize("name", [*CORRELATIONS, "ssim"])
def test_units_do_not_matter(name):
    """The square of a map of 1e-25 is no number of single precision."""
    similarity = getattr(metrics, name)
    a, b = maps()
    small = np.float32(1e-25)
    np.testing.assert_allclose(
        similarity(small * a, small * b), similarity(a, b), rtol=1e-5
    )


@pytest.mark.parametrize("name", [*CORRELATIONS, "ssim", "hog_pearson"])
def test_a_map_that_says_nothing_has_no_similarity(name):
    options = {"cell": 4} if name == "hog_pearson" else {}
    similarity = getattr(metrics, name)
    a, b = maps()
    a[0] = 0.0
    b[0] *= name != "ssim"
    a[1, 3, 4] = np.nan
    found = np.asarray(similarity(a, b, **options))
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2])
    b[2, 3, 4] = np.inf
    assert np.isnan(similarity(a, b, **options)[2])


@pytest.mark.parametrize("name", ["spearman", "pearson"])
def test_a_constant_has_no_pattern_though_its_mean_is_rounded(name):
    a, b = maps()
    constant = np.full_like(a, 0.1)
    assert np.isnan(getattr(metrics, name)(constant, b)).all()


def test_channels():
    a, b = (np.stack([x, y], -1) for x, y in zip(maps(0), maps(1), strict=True))
    found = metrics.ssim(a, b, data_range=20.0)
    each = [metrics.ssim(a[..., c], b[..., c], data_range=20.0) for c in (0, 1)]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-5)
    weak = np.stack([a[..., 0], 0.01 * a[..., 0]], -1)
    np.testing.assert_allclose(
        metrics.hog_pearson(weak, b[..., :1].repeat(2, -1), cell=4),
        metrics.hog_pearson(a[..., 0], b[..., 0], cell=4),
        rtol=1e-4,
    )


@pytest.mark.parametrize("name", [*CORRELATIONS, "ssim", "hog_pearson"])
def test_an_image_alone_has_what_it_has_in_a_batch(name):
    options = {"cell": 4} if name == "hog_pearson" else {}
    similarity = getattr(metrics, name)
    a, b = maps()
    np.testing.assert_allclose(
        similarity(a, b, **options)[1:2],
        similarity(a[1:2], b[1:2], **options),
        rtol=1e-6,
    )


def test_half_precision_is_compared_in_single():
    a, b = (jnp.asarray(x, jnp.bfloat16) for x in maps())
    expected = metrics.spearman(a.astype(jnp.float32), b.astype(jnp.float32))
    np.testing.assert_array_equal(metrics.spearman(a, b), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: metrics.spearman(a, a[:, 1:]), "of one shape: `xattr.images"),
        (lambda a: metrics.ssim(a[:, :9], a[:, :9]), "at least 11 by 11"),
        (lambda a: metrics.ssim(a, a[:, 1:]), "`n h w c` of one shape"),
        (lambda a: metrics.ssim(a, a, window="box"), "'gaussian' or 'uniform'"),
        (lambda a: metrics.ssim(a, a, data_range=0.0), "`data_range`=0.0"),
        (lambda a: metrics.hog_pearson(a, a), "at least 48 by 48.*`cell=4`"),
        (lambda a: metrics.hog_pearson(a, a, cell=0), "`cell`=0"),
    ],
)
def test_errors(call, message):
    a, _ = maps()
    with (
        pytest.raises(Exception, match=message) as caught,
    ):
        call(jnp.asarray(a))
    assert isinstance(caught.value, ValueError)
