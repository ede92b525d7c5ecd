"""Randomization of parameters, classes and data: what maps should be sensitive to."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import metrics_sanity as oracle
from tests.oracles import metrics_similarity
from xattr import metrics

SIZES = (9, 8, 7, 5)


def dense(params, x):
    *inner, last = (params[name]["w"] for name in sorted(params))
    for w in inner:
        x = jax.nn.leaky_relu(x @ w, 0.2)
    return x @ last


def weights(seed):
    random = np.random.default_rng(seed)
    pairs = zip(SIZES[:-1], SIZES[1:], strict=True)
    return [random.normal(size=shape).astype(np.float32) for shape in pairs]


def as_model(arrays):
    return xattr.Model(dense, {f"layer{i}": {"w": w} for i, w in enumerate(arrays)})


IMAGES: Any = np.random.default_rng(2).normal(size=(3, SIZES[0])).astype(np.float32)
LEARNT, NEW = weights(0), weights(1)
LAYERS = ("layer0", "layer1", "layer2")


def drawn(key, learnt):
    del key
    return jnp.asarray(next(w for w in NEW if w.shape == learnt.shape))


def constant(model, images, targets, *, key):
    del model, targets, key
    return images


@pytest.mark.parametrize("order", ["cascading", "bottom_up", "independent"])
@pytest.mark.parametrize("absolute", [False, True])
def test_stages_are_those_networks(key, order, absolute):
    found = metrics.parameter_randomization(
        xattr.gradient, as_model(LEARNT), IMAGES, order=order, absolute=absolute,
        draw=drawn, key=key,
    )  # fmt: skip
    targets = np.asarray(dense(as_model(LEARNT).params, IMAGES)).argmax(1)
    flip = np.abs if absolute else np.asarray
    expected = [
        [
            metrics_similarity.spearman(
                flip(oracle.gradient(LEARNT, x, c)), flip(oracle.gradient(stage, x, c))
            )
            for stage in oracle.randomized(LEARNT, NEW, order)
        ]
        for x, c in zip(IMAGES, targets, strict=True)
    ]
    np.testing.assert_allclose(found.similarity, expected, rtol=1e-5, atol=1e-6)
    assert found.layers == (LAYERS if order == "bottom_up" else LAYERS[::-1])


def test_a_map_that_ignores_the_model_fails(key):
    found = metrics.parameter_randomization(constant, as_model(LEARNT), IMAGES, key=key)
    np.testing.assert_allclose(found.similarity, 1, rtol=1e-6)


def test_some_stages_of_all(key):
    options = {"draw": drawn, "similarity": metrics.cosine, "key": key}
    run = partial(
        metrics.parameter_randomization,
        xattr.gradient,
        as_model(LEARNT),
        IMAGES,
        **options,
    )
    whole, ends = run(), run(num_stages=2)
    assert ends.layers == ("layer2", "layer0")
    np.testing.assert_array_equal(ends.similarity, whole.similarity[:, [0, 2]])


def test_nothing_compiles_again(key):
    traced = []

    @jax.jit
    def method(model, images, targets, key):
        traced.append(1)
        return xattr.gradient(model, images, targets, key=key)

    metrics.parameter_randomization(method, as_model(LEARNT), IMAGES, key=key)
    assert len(traced) == 1


def test_the_method_gets_one_key_per_image_and_the_clean_class(key):
    seen = []

    def method(model, images, targets, *, key):
        seen.append((np.asarray(targets), jax.random.key_data(key)))
        return images

    metrics.parameter_randomization(method, as_model(LEARNT), IMAGES, key=key)
    targets, keys = zip(*seen, strict=True)
    clean = np.asarray(dense(as_model(LEARNT).params, IMAGES)).argmax(1)
    assert len(seen) == 4
    assert all((t == clean).all() for t in targets)
    assert keys[0].shape[0] == len(IMAGES)
    assert all((k == keys[0]).all() for k in keys)


def test_a_map_that_is_not_finite_has_no_similarity(key):
    def method(model, images, targets, *, key):
        maps = xattr.gradient(model, images, targets)
        broken = (model.params["layer0"]["w"] == NEW[0]).all()
        return maps.at[0, 0].set(jnp.where(broken, jnp.inf, 0))

    found = metrics.parameter_randomization(
        method, as_model(LEARNT), IMAGES, draw=drawn, key=key
    ).similarity
    assert np.isnan(found[0, 2])
    assert np.isfinite(found[1:]).all()
    assert np.isfinite(found[0, :2]).all()


def gated(params, x):
    return jnp.tanh(x * params["gate"]["w"]).sum((1, 2)) + params["head"]["bias"]


def test_of_images_with_any_other_similarity(key):
    gate = jax.random.normal(key, (1, 12, 12, 3))
    model = xattr.Model(
        gated, {"gate": {"w": gate}, "head": {"bias": jnp.ones((1, 3))}}
    )
    found = metrics.parameter_randomization(
        xattr.gradient, model, networks.images(2), similarity=metrics.ssim,
        draw=lambda key, weights: 2 - weights, key=key,
    )  # fmt: skip
    assert found.layers == ("head", "gate")
    # The gradient does not see the last bias.
    np.testing.assert_allclose(found.similarity[:, 0], 1, rtol=1e-6)
    assert (found.similarity[:, 1] < 0.9).all()


def test_normal_numbers_like_the_weights(key):
    learnt = 0.5 + 0.1 * jax.random.normal(key, (60, 70))
    new = metrics.normal_like(jax.random.key(1), learnt)
    np.testing.assert_allclose(new.mean(), learnt.mean(), atol=0.01)
    np.testing.assert_allclose(new.std(), learnt.std(), rtol=0.05)
    assert abs(np.corrcoef(new.ravel(), learnt.ravel())[0, 1]) < 0.05
    variances = metrics.normal_like(key, jnp.array([0.0, 0.0, 9.0] * 50))
    assert (variances >= 0).all()
    half = metrics.normal_like(key, learnt.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16


def test_permuted_weights(key):
    learnt = jnp.arange(60.0).reshape(3, 4, 5)
    new = metrics.permuted(key, learnt)
    assert new.shape == learnt.shape
    assert (new != learnt).any()
    np.testing.assert_array_equal(np.sort(new, axis=None), learnt.ravel())


def test_random_logit_compares_two_classes(key):
    model = as_model(LEARNT)
    seen = []

    def method(model, images, targets, *, key):
        seen.append(np.asarray(targets))
        return xattr.gradient(model, images, targets)

    found = metrics.random_logit(method, model, IMAGES, [4, 0, 2], key=key)
    asked, others = seen
    np.testing.assert_array_equal(asked, [4, 0, 2])
    assert (asked != others).all()
    for n, x in enumerate(IMAGES):
        pair = [oracle.gradient(LEARNT, x, c[n]) for c in seen]
        expected = metrics_similarity.spearman(*pair)
        np.testing.assert_allclose(found[n], expected, rtol=1e-5, atol=1e-6)


def test_random_logit_draws_every_other_class(key):
    seen = []

    def method(model, images, targets, *, key):
        seen.append(np.asarray(targets))
        return images

    images = jnp.ones((200, SIZES[0])) * jnp.arange(SIZES[0])[None]
    targets = jnp.full(200, 3)
    found = metrics.random_logit(method, as_model(LEARNT), images, targets, key=key)
    np.testing.assert_allclose(found, 1, rtol=1e-6)  # blind to the class
    counts = np.bincount(seen[1], minlength=5)
    assert counts[3] == 0
    assert (counts[[0, 1, 2, 4]] > 25).all()  # 50 each, within four deviations


def test_random_logit_of_an_image_alone(key):
    keys = jax.random.split(key, 3)
    model = as_model(LEARNT)
    batch = metrics.random_logit(xattr.gradient, model, IMAGES, key=keys)
    alone = metrics.random_logit(xattr.gradient, model, IMAGES[1:2], key=keys[1:2])
    np.testing.assert_allclose(batch[1:2], alone, rtol=1e-6)


def test_data_randomization_compares_two_models():
    models = as_model(LEARNT), as_model(NEW)
    found = metrics.data_randomization(
        xattr.gradient, models, IMAGES, similarity=metrics.pearson
    )
    targets = np.asarray(dense(models[0].params, IMAGES)).argmax(1)
    expected = [
        metrics_similarity.pearson(
            oracle.gradient(LEARNT, x, c), oracle.gradient(NEW, x, c)
        )
        for x, c in zip(IMAGES, targets, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    same = metrics.data_randomization(xattr.gradient, (models[0], models[0]), IMAGES)
    np.testing.assert_allclose(same, 1, rtol=1e-6)


def test_absolute_values_have_no_sign(key):
    models = as_model(LEARNT), as_model([*LEARNT[:-1], -LEARNT[-1]])
    run = partial(metrics.data_randomization, xattr.gradient, models, IMAGES)
    np.testing.assert_allclose(run(), -1, rtol=1e-6)
    np.testing.assert_allclose(run(absolute=True), 1, rtol=1e-6)
    two = xattr.Model(dense, {"a": {"w": jnp.array([[1.0, -1.0], [2.0, -2.0]])}})
    images = jnp.ones((1, 2))
    logit = partial(metrics.random_logit, xattr.gradient, two, images, key=key)
    np.testing.assert_allclose(logit(), -1, rtol=1e-6)
    np.testing.assert_allclose(logit(absolute=True), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"order": "top_down"}, ValueError, "'cascading', 'bottom_up', 'independent'"),
        ({"key": None}, ValueError, "`key` is None"),
        (
            {"key": jax.random.split(jax.random.key(0), 3)},
            ValueError,
            "holds one key per image",
        ),
        ({"num_stages": 4}, ValueError, "has 3 layers; use `num_stages=3`"),
        ({"num_stages": 1}, ValueError, "`num_stages`=1"),
        ({"num_stages": 2.0}, TypeError, "`num_stages`=2.0"),
        ({"model": lambda x: x}, ValueError, "`xattr.from_function"),
    ],
)
def test_errors_of_parameter_randomization(key, options, error, message):
    options = {"model": as_model(LEARNT), "images": IMAGES, "key": key, **options}
    with pytest.raises(error, match=message):
        metrics.parameter_randomization(xattr.gradient, **options)


def test_errors_of_the_others(key):
    with pytest.raises(ValueError, match="`num_classes`=1"):
        metrics.random_logit(
            xattr.gradient, as_model(LEARNT), IMAGES, num_classes=1, key=key
        )
    one: Any = (as_model(LEARNT),)
    with pytest.raises(ValueError, match="`models=\\(trained, memorized\\)`"):
        metrics.data_randomization(xattr.gradient, one, IMAGES)
