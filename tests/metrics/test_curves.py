"""Deletion, insertion and region perturbation."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

import xattr
from tests import networks
from tests.oracles import metrics_curves as oracle
from xattr.metrics import deletion, insertion, region_perturbation
from xattr.metrics._insertion import _matrix

CURVES = (deletion, insertion)
PIXELS = 12 * 12


@pytest.fixture(scope="module")
def case():
    model = networks.tiny_convnet(jax.random.key(0))
    # Few values, so that many pixels are equal.
    maps = jax.random.randint(jax.random.key(1), (3, 12, 12), 0, 9).astype(float)
    return model, networks.images(3), maps, jnp.array([1, 4, 0])


def scalar(model, target):
    @jax.jit
    def probability(image):
        return jax.nn.softmax(model(image[None])[0])[target]

    return lambda image: float(probability(jnp.asarray(image)))


@pytest.mark.parametrize("step", [48, 50])
def test_they_are_the_loops_over_steps(case, step):
    model, images, maps, targets = case
    blur = 0.5 * networks.images(3, seed=7)
    options: Any = {"pixels_per_step": step, "baseline": blur}
    found = [curve(model, images, maps, targets, **options) for curve in CURVES]
    counts = [*range(0, PIXELS, step), PIXELS]
    for n in range(2):
        score = scalar(model, targets[n])
        ends = np.array(images[n]), np.array(blur[n])
        for result, (start, end) in zip(found, (ends, ends[::-1]), strict=True):
            expected = oracle.exchanged(score, start, end, np.array(maps[n]), step)
            np.testing.assert_allclose(result.scores[n], expected, rtol=1e-5)
            np.testing.assert_allclose(result.fractions, np.array(counts) / PIXELS)
            whole = np.trapezoid(expected, np.array(counts) / PIXELS)
            np.testing.assert_allclose(result.area[n], whole, rtol=1e-5)
            if PIXELS % step == 0:
                np.testing.assert_allclose(
                    result.area[n], oracle.area(expected), rtol=1e-5
                )


def linear(weights):
    return lambda x: (x * weights).sum((1, 2, 3))[:, None]


@pytest.mark.parametrize("curve", CURVES)
def test_true_weights_are_best_reversed_ones_worst_and_constants_between(curve):
    weights = jax.random.permutation(jax.random.key(1), jnp.linspace(-1, 3, 36))
    weights = weights.reshape(1, 6, 6, 1)
    run = functools.partial(
        curve,
        linear(weights),
        jnp.ones((1, 6, 6, 1)),
        pixels_per_step=1,
        baseline=0.0,
        score=xattr.logit,
    )
    areas = [float(run(maps).area[0]) for maps in (weights, 0 * weights, -weights)]
    order = sorted(areas, reverse=curve is insertion)
    assert areas == order
    assert len(set(areas)) == 3
    shuffled = jax.random.permutation(jax.random.key(0), weights.ravel())
    other = float(run(shuffled.reshape(weights.shape)).area[0])
    assert min(areas[0], areas[2]) < other < max(areas[0], areas[2])


def test_a_constant_model_has_a_flat_curve(case):
    _, images, maps, _ = case

    def constant(x):
        return jnp.zeros((x.shape[0], 4))

    for curve in CURVES:
        found = curve(constant, images, maps, num_steps=5)
        np.testing.assert_allclose(found.area, 0.25)


def test_number_of_steps_in_place_of_their_size(case):
    model, images, maps, targets = case
    found = deletion(model, images, maps, targets, num_steps=6)
    same = deletion(model, images, maps, targets, pixels_per_step=24)
    np.testing.assert_array_equal(found.scores, same.scores)
    uneven = deletion(model, images, maps, targets, num_steps=7)
    steps = np.diff(np.round(np.array(uneven.fractions) * PIXELS))
    assert len(steps) == 7
    assert set(steps) == {20, 21}


@pytest.mark.parametrize("curve", CURVES)
def test_neither_chunks_nor_other_images_matter(case, curve):
    model, images, maps, _ = case
    whole = curve(model, images, maps, num_steps=5)
    parts = curve(model, images[1:], maps[1:, ..., None], num_steps=5, chunk_size=2)
    np.testing.assert_allclose(whole.scores[1:], parts.scores, rtol=1e-5)


def test_the_class_is_that_of_the_clean_image(case):
    model, images, maps, _ = case
    found = insertion(model, images, maps, num_steps=4)
    probabilities = jax.nn.softmax(model(images))
    np.testing.assert_allclose(found.scores[:, -1], probabilities.max(1), rtol=1e-6)


def test_only_the_order_of_the_map_matters(case):
    model, images, maps, targets = case
    found = deletion(model, images, maps, targets, num_steps=9)
    same = deletion(model, images, jnp.exp(maps) - 7, targets, num_steps=9)
    np.testing.assert_array_equal(found.scores, same.scores)


def test_a_map_without_an_order_has_no_curve(case):
    model, images, maps, targets = case
    broken = maps.at[1, 3, 4].set(jnp.nan)
    found = deletion(model, images, broken, targets, num_steps=3)
    assert np.isnan(found.area).tolist() == [False, True, False]


def test_the_blur_is_the_kernel_of_the_authors():
    dirac = np.zeros((11, 11))
    dirac[5, 5] = 1
    kernel = scipy.ndimage.gaussian_filter(dirac, 5)
    row = _matrix(31)[15, 10:21]
    np.testing.assert_allclose(np.outer(row, row), kernel, atol=1e-12)
    np.testing.assert_allclose(_matrix(31).sum(1), 1)


def test_insertion_begins_with_the_blurred_image(case):
    _, images, maps, _ = case
    weights = jax.random.normal(jax.random.key(3), (1, 12, 12, 3))
    found = insertion(linear(weights), images, maps, num_steps=1, score=xattr.logit)
    rows = jnp.asarray(_matrix(12), images.dtype)
    blurred = jnp.einsum("yi,xj,nijc->nyxc", rows, rows, images)
    np.testing.assert_allclose(
        found.scores[:, 0], linear(weights)(blurred)[:, 0], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "size", "num"),
    [({"order": "morf"}, 5, 9), ({"order": "lerf"}, 3, 7), ({}, 1, 11)],
)
def test_regions_are_the_loop_over_squares(case, options, size, num):
    model, images, _, targets = case
    maps = jax.random.normal(jax.random.key(2), (3, 12, 12))
    found = region_perturbation(
        model, images, maps, targets, region_size=size, num_regions=num, baseline=0.1,
        **options,
    )  # fmt: skip
    order = options.get("order", "morf")
    for n in range(2):
        expected = oracle.regions(
            scalar(model, targets[n]),
            np.array(images[n]),
            np.full((12, 12, 3), 0.1, np.float32),
            np.array(maps[n]),
            size,
            num,
            order,
        )
        np.testing.assert_allclose(found.scores[n], expected, rtol=1e-5)
        np.testing.assert_allclose(found.area[n], oracle.area(expected), rtol=1e-5)
    total = (-(-12 // size)) ** 2
    np.testing.assert_allclose(found.fractions[-1], num / total, rtol=1e-6)


def test_regions_are_replaced_by_noise_of_the_image_s_range(case):
    _, images, maps, _ = case

    def extremes(x):
        return jnp.stack([x.min((1, 2, 3)), x.max((1, 2, 3)), x[:, 0, 0, 0]], 1)

    options: Any = {"region_size": 12, "num_regions": 1, "score": xattr.logit}
    run = functools.partial(region_perturbation, extremes, **options)
    keys = jax.random.split(jax.random.key(0), 3)
    low = run(images, maps, [0, 0, 0], key=keys).scores
    high = run(images, maps, [1, 1, 1], key=keys).scores
    spread = high[:, 0] - low[:, 0]
    assert (low[:, 1] >= low[:, 0]).all()
    assert (high[:, 1] <= high[:, 0]).all()
    assert (high[:, 1] - low[:, 1] > 0.95 * spread).all()
    alone = run(images[1:2], maps[1:2], [0], key=keys[1:2]).scores
    np.testing.assert_allclose(low[1:2], alone, rtol=1e-6)
    other = run(images, maps, [2, 2, 2], key=jax.random.key(5)).scores
    assert (other[:, 1] != run(images, maps, [2, 2, 2], key=keys).scores[:, 1]).all()


def test_refusals(case):
    model, images, maps, _ = case
    half: Any = {"pixels_per_step": 1.5}
    unknown: Any = {"order": "random"}
    with pytest.raises(ValueError, match="`num_steps`=145 is more than the 144"):
        deletion(model, images, maps, num_steps=145)
    with pytest.raises(TypeError, match="`pixels_per_step`=1.5"):
        deletion(model, images, maps, **half)
    with pytest.raises(ValueError, match=r"numbers per pixel.*channel_sum"):
        insertion(model, images, images)
    with pytest.raises(ValueError, match=r"images\.resize\(maps, \(12, 12\)\)"):
        insertion(model, images, maps[:, :4])
    with pytest.raises(ValueError, match="one map for each"):
        insertion(model, images, maps[:1])
    with pytest.raises(ValueError, match="`baseline` has shape"):
        deletion(model, images, maps, baseline=jnp.zeros((5,)))
    with pytest.raises(ValueError, match="`order`='random'"):
        region_perturbation(model, images, maps, **unknown)
    with pytest.raises(
        ValueError, match="`num_regions`=100 is more than the 4 regions"
    ):
        region_perturbation(model, images, maps, baseline=0.0)
    with pytest.raises(ValueError, match="`key` is None"):
        region_perturbation(model, images, maps, num_regions=2)
