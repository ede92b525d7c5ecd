"""A trained decoder keeps to what every method keeps to."""

import dataclasses
import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xattr
from tests.networks import images, tiny_convnet
from xattr import testing
from xattr.decoder._architecture import Architecture
from xattr.decoder._decoder import Decoder
from xattr.decoder._method import as_method, decode
from xattr.decoder._trained import Trained

FORM = Architecture(
    ("relu:1", "relu:0"), ((6, 6, 6), (12, 12, 4)), (12, 12), channels=(8,)
)
CLASS = dataclasses.replace(FORM, output="class", num_classes=5)
SELECTOR = dataclasses.replace(FORM, output="selector", num_classes=5)
EVIDENCE = dataclasses.replace(FORM, output="evidence", num_classes=5)
OF_CLASSES = [CLASS, SELECTOR, EVIDENCE]
FORMS = pytest.mark.parametrize(
    "form", [FORM, *OF_CLASSES], ids=lambda form: form.output
)
TARGETS = jnp.array([2, 0, 4])


@functools.partial(jax.jit, static_argnums=0)
def drawn(form, key):
    params = nnx.state(Decoder(form, rngs=nnx.Rngs(key)))
    # The last convolution begins so small that all masks would look alike.
    return jax.tree.map(lambda x: x + 0.3 * jax.random.normal(key, x.shape), params)


@functools.cache
def trained(form, seed=0):
    return Trained(form, drawn(form, jax.random.key(seed)))


@functools.cache
def model(seed=1):
    return tiny_convnet(jax.random.key(seed))


@FORMS
def test_the_mask_is_that_of_the_network_alone(form):
    batch = images(3)
    maps = decode(model(), batch, TARGETS, decoder=trained(form))
    recorded = xattr.record(model(), batch, form.sites)
    features = tuple(recorded[site] for site in form.sites)
    if form.output == "evidence":
        site = form.sites[0]
        cam = xattr.hires_cam(model(), batch, TARGETS, site=site, relu=False)
        features = *features, cam[..., None]
    network = jax.jit(lambda trained, *given: trained.decoder(*given))
    logits = network(trained(form), features, TARGETS)
    np.testing.assert_allclose(maps, 1 / (1 + np.exp(-logits)), rtol=1e-4, atol=1e-5)
    assert maps.shape == (3, 12, 12, 1)
    assert float(maps.std((1, 2, 3)).min()) > 0.01


@FORMS
def test_a_batch_is_its_images_one_by_one(form):
    method = as_method(trained(form))
    testing.assert_batch_independent(method, model(), images(3), TARGETS)


@pytest.mark.parametrize("form", [CLASS, EVIDENCE], ids=lambda form: form.output)
def test_chunks_change_nothing(form):
    method = as_method(trained(form))
    testing.assert_chunk_independent(
        method, model(), images(3), TARGETS, chunk_sizes=(2,)
    )


@pytest.mark.parametrize("form", OF_CLASSES, ids=lambda form: form.output)
def test_no_target_means_the_predicted_class(form):
    batch = images(3, seed=2) + jnp.array([-2.0, 0.0, 2.0])[:, None, None, None]
    predicted = model()(batch).argmax(1)
    assert len(set(predicted.tolist())) > 1
    method = as_method(trained(form))
    by_default = method(model(), batch)
    np.testing.assert_allclose(by_default, method(model(), batch, predicted), rtol=1e-5)
    others = method(model(), batch, (predicted + 1) % 5)
    assert float(jnp.abs(by_default - others).max()) > 0.01


def test_an_agnostic_decoder_reads_no_target():
    method = as_method(trained(FORM))
    expected = method(model(), images(3))
    np.testing.assert_array_equal(method(model(), images(3), TARGETS), expected)


def test_compiles_once_for_new_weights_decoders_labels_and_images():
    traces = 0
    apply = model().apply

    def counted(params, x):
        nonlocal traces
        traces += 1
        return apply(params, x)

    def run(seed):
        counting = xattr.Model(counted, model(seed).params)
        labels = jnp.array([seed, 1])
        return decode(
            counting, images(2, seed=seed), labels, decoder=trained(CLASS, seed)
        )

    first = run(0)
    compiled = traces
    assert not jnp.allclose(first, run(1))
    assert traces == compiled


def test_one_trace_under_the_callers_jit():
    chex.clear_trace_counter()
    method = as_method(trained(SELECTOR))
    traced = jax.jit(chex.assert_max_traces(1)(lambda *args: method(*args)))
    for seed in (0, 1):
        batch = images(2, seed=seed)
        targets = TARGETS[:2] + seed
        expected = method(model(), batch, targets)
        np.testing.assert_allclose(
            traced(model(), batch, targets), expected, rtol=1e-5, atol=1e-6
        )


def test_a_constant_image_has_a_mask():
    maps = decode(model(), jnp.full_like(images(2), 0.5), decoder=trained(SELECTOR))
    assert bool(jnp.isfinite(maps).all())


def test_keeps_the_type_of_its_images():
    with jax.enable_x64(True):
        wide = tiny_convnet(jax.random.key(1), dtype=jnp.float64)
        batch = images(1, dtype=jnp.float64)
        assert decode(wide, batch, decoder=trained(FORM)).dtype == jnp.float64


def test_combinators_take_it():
    smooth = xattr.smoothgrad(as_method(trained(FORM)), num_samples=2, stddev=0.0)
    found = smooth(model(), images(2), key=jax.random.key(0))
    expected = decode(model(), images(2), decoder=trained(FORM))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_images_of_another_size_are_refused():
    message = (
        "`images` are 16 x 12, but this decoder was made for 12 x 12: "
        "`xattr.images.resize(images, (12, 12))`"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        decode(model(), jnp.zeros((1, 16, 12, 3)), decoder=trained(FORM))


def test_a_model_with_other_sites_is_refused():
    other = tiny_convnet(jax.random.key(0), channels=(4, 7))
    message = r"'relu:1' are 6 x 6 x 7 .* reads 6 x 6 x 6.*another model"
    with pytest.raises(ValueError, match=message):
        decode(other, images(1), decoder=trained(FORM))


def test_a_model_with_other_classes_is_refused():
    other = tiny_convnet(jax.random.key(0), num_classes=4)
    with pytest.raises(ValueError, match="`model` has 4 classes.*was made for 5"):
        decode(other, images(1), decoder=trained(CLASS))


@pytest.mark.parametrize("form", [CLASS, EVIDENCE], ids=lambda form: form.output)
def test_a_model_without_logits_is_refused(form):
    both = xattr.Model(lambda model, x: (model(x), model(x)), model())
    message = r"gives arrays of shapes \[\(1, 5\), \(1, 5\)\].*a model that returns it"
    with pytest.raises(ValueError, match=message):
        decode(both, images(3), TARGETS, decoder=trained(form))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0, 5, 1], "`targets` has class 5, but `decoder` knows 0 to 4"),
        (jnp.array([0, 1, -1]), "`targets` has class -1"),
        (jnp.zeros((3, 2), int), r"`targets` is int.*\[3, 2\].*one class index"),
        (jnp.zeros(3), "one class index per image"),
        (jnp.array([0, 1]), "one row per image"),
    ],
)
def test_targets_that_are_no_classes_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        decode(model(), images(3), targets, decoder=trained(CLASS))


@pytest.mark.parametrize("quantiles", [None, (0.1, 0.9)])
@pytest.mark.parametrize("form", OF_CLASSES, ids=lambda form: form.output)
def test_a_class_that_can_not_be_seen_gives_not_a_number(form, quantiles):
    form = dataclasses.replace(form, quantiles=quantiles)
    traced = jax.jit(lambda t: decode(model(), images(2), t, decoder=trained(form)))
    maps = traced(jnp.array([5, 1]))
    assert jnp.isnan(maps[0]).all()
    assert jnp.isfinite(maps[1]).all()
