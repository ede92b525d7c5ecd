import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import metrics_curves as oracle
from xattr.metrics import adcc


def method(model, images, targets, *, key=None, power=1.0):
    """Gradient times input, as one number per pixel."""
    del key
    maps = xattr.input_x_gradient(model, images, targets)
    return jnp.abs(maps).sum(-1) ** power


@pytest.fixture(scope="module")
def case():
    return networks.tiny_convnet(jax.random.key(0)), networks.images(3)


def test_it_is_the_formula(case):
    model, images = case
    found = adcc(functools.partial(method, power=0.5), model, images)
    probability = jax.jit(lambda x: jax.nn.softmax(model(x)))
    targets = probability(images).argmax(1)
    maps = np.array(method(model, images, targets, power=0.5))
    for n in range(3):
        p, o = oracle.masked_scores(
            lambda x, n=n: float(probability(x[None])[0, targets[n]]),
            np.array(images[n]),
            np.zeros((12, 12, 3)),
            maps[n],
        )
        mask = (maps[n] - maps[n].min()) / np.ptp(maps[n])
        seen = jnp.asarray(mask[None, ..., None] * np.array(images[n : n + 1]))
        again = method(model, seen, targets[n : n + 1], power=0.5)[0]
        drop = max(0, p - o) / p
        coherency = (1 + np.corrcoef(mask.ravel(), again.ravel())[0, 1]) / 2
        terms = coherency, 1 - mask.mean(), 1 - drop
        np.testing.assert_allclose(found.coherency[n], coherency, rtol=1e-4)
        np.testing.assert_allclose(found.complexity[n], mask.mean(), rtol=1e-4)
        np.testing.assert_allclose(found.average_drop[n], drop, atol=1e-5)
        mean = 3 / sum(1 / term for term in terms)
        np.testing.assert_allclose(found.value[n], mean, rtol=1e-4)


def pixels(model, images, targets, *, key=None):
    del model, targets, key
    return images.sum(-1)


def test_a_small_map_that_keeps_the_score_is_good_and_an_empty_one_is_nothing():
    def model(x):
        return x[:, 0, 0]

    x = jnp.zeros((1, 10, 10, 1)).at[:, 0, 0].set(1)
    found = adcc(pixels, model, x, score=xattr.logit)
    np.testing.assert_allclose(found.value, 3 / (1 + 1 / 0.99 + 1), rtol=1e-5)
    other = adcc(pixels, model, 1 - x + 2 * x * 0.1, score=xattr.logit)
    assert float(other.average_drop[0]) == 1
    assert float(other.value[0]) == 0


def test_a_constant_map_has_no_correlation(case):
    model, images = case
    found = adcc(lambda model, x, t, key: jnp.ones(x.shape[:3]), model, images)
    assert np.isnan(found.coherency).all()
    assert np.isnan(found.value).all()
    assert (np.array(found.complexity) == 0).all()


def test_other_images_and_chunks_do_not_matter(case):
    model, images = case
    keys = jax.random.split(jax.random.key(1), 3)

    def drawn(model, images, targets, *, key):
        noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:3]))(key)
        return method(model, images, targets) + 0.01 * noise

    whole = adcc(drawn, model, images, key=keys)
    alone = adcc(drawn, model, images[1:2], key=keys[1:2], chunk_size=1)
    for a, b in zip(whole, alone, strict=True):
        np.testing.assert_allclose(a[1:2], b, rtol=1e-4, atol=1e-6)


def test_a_coarse_map_is_refused_with_what_to_do(case):
    model, images = case
    cam = functools.partial(xattr.grad_cam, site="relu:1", axes="nhwc")
    with pytest.raises(ValueError, match=r"images\.resize\(maps, \(12, 12\)\)"):
        adcc(cam, model, images)

    def enlarged(model, images, targets, *, key):
        return xattr.images.resize(cam(model, images, targets, key=key), (12, 12))

    assert adcc(enlarged, model, images).value.shape == (3,)
