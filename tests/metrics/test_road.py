import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

import xattr
from tests import networks
from tests.oracles import metrics_curves as oracle
from xattr.metrics import road
from xattr.metrics._imputation import impute

FRACTIONS = (0.25, 0.6, 0.9)


@pytest.fixture(scope="module")
def case():
    model = networks.tiny_convnet(jax.random.key(0))
    maps = jax.random.normal(jax.random.key(1), (2, 12, 12))
    return model, networks.images(2), maps, jnp.array([1, 4])


def holes(kind, size=15):
    rows, columns = np.mgrid[:size, :size]
    distance = (rows - 7) ** 2 + (columns - 6) ** 2
    noise = np.random.default_rng(0).random((size, size))
    return {
        "scattered": noise < 0.9,
        "middle": distance < 40,
        "all but the middle": distance > 3,
        "all but a corner": rows + columns > 0,
    }[kind]


@pytest.mark.parametrize(
    "kind", ["scattered", "middle", "all but the middle", "all but a corner"]
)
def test_imputed_pixels_solve_the_system(kind):
    missing = holes(kind)
    image = np.random.default_rng(1).random((15, 15, 2)).astype(np.float32)
    found = jax.jit(impute)(jnp.asarray(image[None]), jnp.asarray(missing[None]))[0]
    np.testing.assert_allclose(found, oracle.imputed(image, missing), atol=1e-5)
    np.testing.assert_array_equal(np.array(found)[~missing], image[~missing])


def test_a_plane_is_restored_within():
    """Weights are even, so that a linear image satisfies the means."""
    rows, columns = np.mgrid[:9, :9].astype(np.float32)
    plane = (2 * rows - 3 * columns)[None, ..., None]
    missing = np.zeros((1, 9, 9), bool)
    missing[:, 2:7, 1:8] = True
    found = jax.jit(impute)(jnp.asarray(plane), jnp.asarray(missing))
    np.testing.assert_allclose(found, plane, atol=1e-4)


def test_holes_in_an_even_color_take_it():
    image = jnp.full((1, 7, 10, 1), 0.7)
    found = jax.jit(impute)(image, jnp.arange(70).reshape(1, 7, 10) > 0)
    np.testing.assert_allclose(found, image, rtol=1e-6)


def test_other_images_of_the_batch_do_not_matter():
    images = jnp.asarray(np.random.default_rng(2).random((2, 15, 15, 1)), jnp.float32)
    missing = jnp.stack([holes("scattered"), holes("all but the middle")])
    together = jax.jit(impute)(images, missing)
    for n in range(2):
        alone = jax.jit(impute)(images[n : n + 1], missing[n : n + 1])
        np.testing.assert_allclose(together[n], alone[0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["disc", "all but a disc", "scattered", "stripe"])
def test_large_holes_are_as_exact_as_a_direct_solution(kind):
    size = 224
    rows, columns = np.mgrid[:size, :size]
    distance = (rows - 111.5) ** 2 + (columns - 111.5) ** 2
    missing = {
        "disc": distance < np.quantile(distance, 0.9),
        "all but a disc": distance > np.quantile(distance, 0.1),
        "scattered": np.random.default_rng(1).random((size, size)) < 0.99,
        "stripe": (columns > 20) & (rows + columns < 400),
    }[kind]
    image = np.cumsum(np.random.default_rng(0).normal(size=(size, size)), 1)
    image = ((image - image.min()) / np.ptp(image)).astype(np.float32)
    places = np.where(missing, np.cumsum(missing.ravel()).reshape(size, size) - 1, -1)
    num = int(missing.sum())
    right, diagonal, entries = np.zeros(num), np.zeros(num), []
    for i, j in ((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j):
        weight = oracle.CORNER if i and j else oracle.SIDE
        own = np.argwhere(missing)
        other = own + (i, j)
        inner = ((other >= 0) & (other < size)).all(1)
        own, other = places[tuple(own[inner].T)], tuple(other[inner].T)
        diagonal[own] += weight
        known = ~missing[other]
        np.add.at(right, own[known], weight * image[other][known])
        entries.append((own[~known], places[other][~known], weight))
    a = np.concatenate([own for own, _, _ in entries])
    b = np.concatenate([other for _, other, _ in entries])
    values = np.concatenate([np.full(len(own), -weight) for own, _, weight in entries])
    matrix = sparse.coo_matrix((values, (a, b)), (num, num)) + sparse.diags(diagonal)
    expected = image.astype(float)
    expected[missing] = spsolve(matrix.tocsc(), right)
    found = jax.jit(impute)(jnp.asarray(image[None, ..., None]), missing[None])
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-4)


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_it_is_the_loop_over_fractions(case, order):
    model, images, maps, targets = case
    options: Any = {"fractions": FRACTIONS, "noise": 0.0, "order": order}
    found = road(model, images, maps, targets, **options)
    for n in range(2):
        score = jax.jit(lambda x, n=n: jax.nn.softmax(model(x[None])[0])[targets[n]])
        expected = oracle.road(
            score, np.array(images[n]), np.array(maps[n]), FRACTIONS, order
        )
        np.testing.assert_allclose(found.scores[n], expected, rtol=1e-4)
        np.testing.assert_allclose(found.value[n], np.mean(expected), rtol=1e-4)
    np.testing.assert_allclose(found.fractions, [36 / 144, 86 / 144, 130 / 144])


def test_combined_is_half_the_difference(case):
    run = functools.partial(road, *case, fractions=FRACTIONS, noise=0.0)
    morf, lerf = (run(order=order).scores for order in ("morf", "lerf"))
    np.testing.assert_allclose(run().scores, (lerf - morf) / 2, atol=1e-6)


def test_the_true_weights_are_best_and_their_reverse_worst():
    weights = jnp.zeros((1, 8, 8, 1)).at[:, 2:6, 2:6].set(1)
    x = 0.1 + weights

    def model(x):
        return (x * weights).sum((1, 2, 3))[:, None]

    options: Any = {"fractions": (0.3,), "noise": 0.0, "score": xattr.logit}
    best, none, worst = (
        float(road(model, x, maps, **options).value[0])
        for maps in (weights, 0 * weights, -weights)
    )
    assert worst < none < best
    np.testing.assert_allclose(best, -worst, rtol=0.2)


@pytest.mark.slow
def test_neither_chunks_nor_other_images_matter(case):
    model, images, maps, targets = case
    keys = jax.random.split(jax.random.key(3), 2)
    run = functools.partial(road, fractions=FRACTIONS, noise=0.5)
    whole = run(model, images, maps, targets, key=keys)
    one = (model, images[1:], maps[1:], targets[1:])
    alone = run(*one, key=keys[1:], chunk_size=1)
    np.testing.assert_allclose(whole.scores[1:], alone.scores, atol=1e-5)


def test_noise_is_on_imputed_pixels_alone(case):
    _, images, maps, _ = case
    flat = jnp.zeros_like(images)

    def squares(x):
        return (x**2).sum((1, 2, 3))[:, None]

    options: Any = {"fractions": (0.5,), "order": "morf", "score": xattr.logit}
    found = road(squares, flat, maps, **options, noise=0.3, key=jax.random.key(0))
    # 72 pixels of 3 channels: the relative deviation of their mean square is 0.1.
    np.testing.assert_allclose(found.value, 0.3**2 * 72 * 3, rtol=0.4)


def test_a_map_without_an_order_has_no_value(case):
    model, images, maps, targets = case
    broken = maps.at[0, 0, 0].set(jnp.nan)
    found = road(model, images, broken, targets, fractions=(0.5,), noise=0.0)
    assert np.isnan(found.value).tolist() == [True, False]


def test_refusals(case):
    model, images, maps, _ = case
    unknown: Any = {"order": "random"}
    with pytest.raises(ValueError, match="`key` is None"):
        road(model, images, maps)
    with pytest.raises(ValueError, match="`noise`=-1"):
        road(model, images, maps, noise=-1.0)
    with pytest.raises(ValueError, match="`order`='random'"):
        road(model, images, maps, **unknown, noise=0.0)
    with pytest.raises(ValueError, match="`fractions` holds 1.0, which is 144 of 144"):
        road(model, images, maps, fractions=(0.5, 1.0), noise=0.0)
