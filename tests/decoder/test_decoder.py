"""The network: its form read from a model, its logits against NumPy."""

import dataclasses
import functools
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xattr
from tests import transformers
from tests.networks import images, tiny_convnet
from tests.oracles import decoder_network as oracle
from xattr.decoder._architecture import Architecture, architecture
from xattr.decoder._decoder import Decoder, definition
from xattr.decoder._features import features_and_outputs

TWO = Architecture(
    ("deep", "skip", "other"),
    ((2, 3, 5), (4, 6, 4), (2, 3, 2)),
    (16, 24),
    channels=(16, 4),
)


def drawn_features(form, n=2, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(
        jnp.asarray(rng.normal(size=(n, *shape)), jnp.float32) for _, shape in form.maps
    )


def decoder_of(form):
    graph, _ = definition(form)
    return nnx.merge(graph, _drawn(form))


@functools.partial(jax.jit, static_argnums=0)
def _drawn(form):
    return nnx.state(Decoder(form, rngs=nnx.Rngs(0)))


def moved(decoder, seed=1):
    """The same decoder, no parameter of which is one or zero."""
    graph, params = nnx.split(decoder)
    rng = np.random.default_rng(seed)

    def move(x):
        return jnp.asarray(x + 0.3 * rng.normal(size=x.shape), x.dtype)

    return nnx.merge(graph, jax.tree.map(move, params))


def logits_of(decoder, features, targets=None):
    graph, params = nnx.split(decoder)
    return _logits(graph, params, features, targets)


@functools.partial(jax.jit, static_argnums=0)
def _logits(graph, params, features, targets):
    return nnx.merge(graph, params)(features, targets)


@functools.partial(jax.jit, static_argnums=0)
def _mask(graph, params, features):
    return nnx.merge(graph, params).mask(features)


@pytest.mark.parametrize("quantiles", [(0.0, 1.0), (0.2, 0.85)])
def test_masks_are_scaled_by_their_quantiles(quantiles):
    form = dataclasses.replace(TWO, quantiles=quantiles)
    features = drawn_features(form)
    graph, params = nnx.split(moved(decoder_of(form)))

    def logits(size):
        graph, _ = definition(dataclasses.replace(TWO, size=size))
        return np.asarray(_logits(graph, params, features, None), np.float64)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    # On a canvas of the size of its grid nothing is resized.
    ordered = np.sort(logits((8, 12)).reshape(2, 96))
    low, high = (
        sigmoid(np.array([np.interp(95 * q, np.arange(96), row) for row in ordered]))
        for q in quantiles
    )
    low, high = low[:, None, None, None], high[:, None, None, None]
    expected = np.clip((sigmoid(logits((16, 24))) - low) / (high - low), 0, 1)
    found = np.asarray(_mask(graph, params, features))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if quantiles == (0.2, 0.85):
        assert 0.1 < (found == 0).mean() < 0.3
        assert 0.05 < (found == 1).mean() < 0.25


def test_a_mask_whose_quantiles_are_one_is_empty():
    form = dataclasses.replace(TWO, quantiles=(0.0, 1.0))
    graph, params = nnx.split(decoder_of(form))
    still = jax.tree.map(jnp.zeros_like, params)
    assert not np.asarray(_mask(graph, still, drawn_features(form))).any()


@pytest.mark.parametrize("quantiles", [(0.5, 0.5), (-0.1, 1.0), (0.0, 1.1)])
def test_quantiles_that_do_not_rise_are_refused(quantiles):
    with pytest.raises(ValueError, match="quantiles"):
        dataclasses.replace(TWO, quantiles=quantiles)


def enter(entry, x):
    scale, bias = np.asarray(entry.norm.scale[...]), np.asarray(entry.norm.bias[...])
    linear = x @ np.asarray(entry.linear.kernel[...])
    return oracle.group_norm(linear, np.gcd(len(scale), 8), scale, bias)


def block(block, x, entering: Any = 0.0):
    scale, bias = np.asarray(block.norm.scale[...]), np.asarray(block.norm.bias[...])
    y = oracle.transposed_convolution(x, np.asarray(block.kernel[...])) + entering
    return np.maximum(oracle.group_norm(y, np.gcd(len(scale), 8), scale, bias), 0)


def enlarged(logits, size):
    return np.asarray(xattr.images.resize(jnp.asarray(logits), size))


def test_logits_are_those_of_the_formula():
    decoder = moved(decoder_of(TWO))
    features = drawn_features(TWO)
    deep, skip, other = (np.asarray(x, np.float64) for x in features)
    x = enter(decoder.entries[0], deep) + enter(decoder.entries[2], other)
    x = block(decoder.blocks[0], x, enter(decoder.entries[1], skip))
    x = block(decoder.blocks[1], x)
    kernel, bias = np.asarray(decoder.kernel[...]), np.asarray(decoder.bias[...])
    expected = enlarged(oracle.convolution(x, kernel, bias), (16, 24))
    found = logits_of(decoder, features)
    assert found.shape == (2, 16, 24, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_site_between_two_grids_is_resized_to_the_nearer():
    form = dataclasses.replace(TWO, shapes=((2, 3, 5), (5, 7, 4), (8, 12, 2)))
    assert [form.level(site) for site in (1, 2)] == [1, 2]
    decoder = moved(decoder_of(form))
    features = drawn_features(form)
    deep, skip, other = (np.asarray(x, np.float64) for x in features)
    x = enter(decoder.entries[0], deep)
    x = block(decoder.blocks[0], x, enlarged(enter(decoder.entries[1], skip), (4, 6)))
    x = block(decoder.blocks[1], x, enter(decoder.entries[2], other))
    kernel, bias = np.asarray(decoder.kernel[...]), np.asarray(decoder.bias[...])
    expected = enlarged(oracle.convolution(x, kernel, bias), (16, 24))
    np.testing.assert_allclose(
        logits_of(decoder, features), expected, rtol=1e-3, atol=1e-4
    )


def test_of_classes_the_filter_of_the_target_is_taken():
    form = dataclasses.replace(TWO, output="class", num_classes=3)
    decoder = moved(decoder_of(form))
    features = drawn_features(form)
    found = logits_of(decoder, features, jnp.array([2, 0]))
    plain = moved(decoder_of(TWO))
    nnx.update(plain.entries, nnx.state(decoder.entries))
    nnx.update(plain.blocks, nnx.state(decoder.blocks))
    for image, target in enumerate((2, 0)):
        plain.kernel[...] = decoder.kernel[..., target : target + 1]
        plain.bias[...] = decoder.bias[target : target + 1]
        np.testing.assert_allclose(
            found[image], logits_of(plain, features)[image], rtol=1e-4, atol=1e-5
        )


def test_a_selector_gates_the_first_site():
    form = dataclasses.replace(
        TWO, sites=("deep",), shapes=((2, 3, 5),), output="selector", num_classes=3
    )
    decoder = moved(decoder_of(form))
    (deep,) = features = drawn_features(form)
    targets = jnp.array([2, 0])
    embedding = np.asarray(decoder.embedding[...])[np.asarray(targets)]
    product = (np.asarray(deep, np.float64) * embedding[:, None, None]).sum(3)
    x = enter(decoder.entries[0], np.asarray(deep, np.float64))
    x = x / (1 + np.exp(-product[..., None]))
    for each in decoder.blocks:
        x = block(each, x)
    kernel, bias = np.asarray(decoder.kernel[...]), np.asarray(decoder.bias[...])
    expected = enlarged(oracle.convolution(x, kernel, bias), (16, 24))
    np.testing.assert_allclose(
        logits_of(decoder, features, targets), expected, rtol=1e-3, atol=1e-4
    )


def test_evidence_enters_where_decoding_begins():
    form = dataclasses.replace(
        TWO, sites=("deep",), shapes=((2, 3, 5),), output="evidence", num_classes=3
    )
    decoder = moved(decoder_of(form))
    deep, evidence = features = drawn_features(form)
    assert evidence.shape == (2, 2, 3, 1)
    x = enter(decoder.entries[0], np.asarray(deep, np.float64))
    x = x + enter(decoder.evidence, np.asarray(evidence, np.float64))
    for each in decoder.blocks:
        x = block(each, x)
    kernel, bias = np.asarray(decoder.kernel[...]), np.asarray(decoder.bias[...])
    expected = enlarged(oracle.convolution(x, kernel, bias), (16, 24))
    np.testing.assert_allclose(
        logits_of(decoder, features), expected, rtol=1e-3, atol=1e-4
    )


def test_evidence_of_a_mean_and_a_linear_layer_is_a_row_of_weights():
    weights = jax.random.normal(jax.random.key(1), (5, 4))

    def model(x):
        kernel = jax.random.normal(jax.random.key(0), (4, 4, 3, 5))
        cells = jax.lax.conv_general_dilated(
            x, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.relu(cells).mean((1, 2)) @ weights + 7.0

    batch = jax.random.normal(jax.random.key(2), (2, 8, 12, 3))
    given = jnp.array([3, 1])
    (cells, found), outputs = features_and_outputs(
        model, batch, ["relu:0"], given, evidence=True
    )
    rows = np.asarray(weights).T[np.asarray(given)]
    expected = np.einsum("nijd,nd->nij", np.asarray(cells), rows) / 6
    np.testing.assert_allclose(found[..., 0], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        found.sum((1, 2, 3)) + 7, outputs[jnp.arange(2), given], rtol=1e-4
    )
    (_, of_best), _ = features_and_outputs(model, batch, ["relu:0"], evidence=True)
    (_, same), _ = features_and_outputs(
        model, batch, ["relu:0"], outputs.argmax(1), evidence=True
    )
    np.testing.assert_array_equal(of_best, same)


def test_the_mask_starts_as_the_bias_has_it():
    mask = jax.nn.sigmoid(logits_of(decoder_of(TWO), drawn_features(TWO)))
    np.testing.assert_allclose(mask, 0.731, atol=0.05)
    assert float(mask.std()) > 0


@pytest.mark.parametrize("output", ["class", "selector"])
def test_a_class_that_is_none_gives_not_a_number(output):
    form = dataclasses.replace(TWO, output=output, num_classes=3)
    features = drawn_features(form, n=3)
    logits = logits_of(decoder_of(form), features, jnp.array([1, 3, -1]))
    assert jnp.isfinite(logits[0]).all()
    assert jnp.isnan(logits[1:]).all()


def test_computes_in_the_type_of_its_parameters():
    graph, params = nnx.split(decoder_of(TWO))
    features = drawn_features(TWO)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    rounded = jax.tree.map(lambda x: x.astype(jnp.float32), half)
    found, wide = (_logits(graph, p, features, None) for p in (half, rounded))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, wide, atol=0.03)
    # All that rounding the parameters alone could not do.
    assert float(jnp.abs(found - wide).max()) > 1e-4


def test_parameters_are_single_in_a_wide_world_too():
    form = dataclasses.replace(TWO, output="selector", num_classes=3)
    with jax.enable_x64(True):
        params = nnx.eval_shape(lambda: nnx.state(Decoder(form, rngs=nnx.Rngs(0))))
    assert {x.dtype.name for x in jax.tree.leaves(params)} == {"float32"}


def test_the_definition_has_the_decoders_parameters():
    graph, params = definition(TWO)
    own_graph, own = nnx.split(Decoder(TWO, rngs=nnx.Rngs(0)))
    assert graph == own_graph
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), own)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == shapes


def test_features_and_outputs_are_the_models():
    model, batch = tiny_convnet(jax.random.key(0)), images(2)
    maps, outputs = features_and_outputs(model, batch, ["relu:1", "relu:0"])
    names = ["relu:1", "relu:0"]
    recorded = xattr.record(model, batch, names)
    for found, name in zip(maps, names, strict=True):
        np.testing.assert_allclose(found, recorded[name], rtol=1e-6)
    np.testing.assert_allclose(outputs, model(batch), rtol=1e-5)


def test_channels_come_last_whatever_the_model_has():
    def model(x):
        kernel = jnp.ones((5, 3, 4, 4))
        cells = jax.lax.conv_general_dilated(
            x.transpose(0, 3, 1, 2), kernel, (4, 4), "VALID"
        )
        return jax.nn.relu(cells).mean((2, 3))

    found = architecture(
        model, jax.ShapeDtypeStruct((1, 8, 16, 3), "float32"), "relu:0", channels=(4,)
    )
    assert found.shapes == ((2, 4, 5),)


def test_tokens_stand_for_their_grid():
    image = jax.ShapeDtypeStruct((1, 8, 8, 3), "float32")
    found = architecture(
        transformers.tiny_vit(), image, "features/encoder/ln/add:1", channels=(4,)
    )
    assert found.shapes == ((2, 2, 8),)


def test_form_is_read_from_the_model_without_running_it():
    model = tiny_convnet(jax.random.key(0))
    form = architecture(
        model,
        jax.ShapeDtypeStruct((4, 12, 12, 3), "float32"),
        ["relu:1", "relu:0"],
        channels=[8],
        output="class",
    )
    assert form == Architecture(
        ("relu:1", "relu:0"), ((6, 6, 6), (12, 12, 4)), (12, 12), (8,), "class", 5
    )
    assert hash(form) == hash(dataclasses.replace(form))
    fields = json.loads(json.dumps(dataclasses.asdict(form)))
    assert fields["shapes"] == [[6, 6, 6], [12, 12, 4]]


@pytest.mark.parametrize(
    ("sites", "options", "message"),
    [
        ("relu:7", {}, "'relu:7' is not a site of this model"),
        ("sum:0", {}, r"`sites` has 'sum:0'.*one row, one column"),
        ([], {}, "`sites` is empty"),
        (["relu:0", "relu:1"], {}, r"smallest grid: `sites=\['relu:1', 'relu:0'\]`"),
        ("relu:1", {"channels": (8, 4)}, r"at most 1 fit: `channels=\(8,\)`"),
        ("relu:1", {"channels": ()}, "at least one block"),
        ("relu:1", {"channels": (0,)}, "positive number of channels"),
        ("relu:0", {}, "already one block would grow beyond them"),
    ],
)
def test_what_no_decoder_can_read_is_refused(sites, options, message):
    model = tiny_convnet(jax.random.key(0))
    options = {"channels": (8,), **options}
    with pytest.raises(ValueError, match=message):
        architecture(model, images(1), sites, **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sites": ("deep",)}, "1 names for the 3 `shapes`"),
        ({"output": "class"}, "`num_classes`=0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TWO, **changes)


def test_classes_need_logits():
    hidden = xattr.at_site(tiny_convnet(jax.random.key(0)), "relu:1")
    options = {"channels": (8,), "output": "class"}
    with pytest.raises(ValueError, match="one array `n k` of logits"):
        architecture(hidden, images(1), "relu:1", **options)


def test_other_features_are_refused():
    other = dataclasses.replace(TWO, shapes=((2, 3, 7), *TWO.shapes[1:]))
    with pytest.raises(ValueError, match=r"'deep' are 2 x 3 x 7 .* reads 2 x 3 x 5"):
        logits_of(decoder_of(TWO), drawn_features(other))


def test_evidence_that_is_missing_is_asked_for():
    form = dataclasses.replace(TWO, output="evidence", num_classes=3)
    message = (
        "`features` has 3 maps, where this decoder reads 4: 'deep', 'skip', 'other', "
        "'evidence'. `features_and_outputs(model, images, sites, targets, "
        "evidence=True)` gives them."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        logits_of(decoder_of(form), drawn_features(TWO))


def test_targets_that_are_needed_are_asked_for():
    form = dataclasses.replace(TWO, output="selector", num_classes=3)
    with pytest.raises(ValueError, match="`targets` is None"):
        logits_of(decoder_of(form), drawn_features(form))
