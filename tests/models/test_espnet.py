"""A network that names a class per pixel."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xattr
from tests.oracles import segmentation as oracle
from xattr import models
from xattr.images import Stretch
from xattr.models._convert import torch_shapes
from xattr.models._espnet import Block, Downsampling, espnet
from xattr.models._layers import AveragePool, PReLU
from xattr.models._presets import PRESETS
from xattr.run import Plan

apply = nnx.jit(lambda network, x: network(x))


def randomize(module):
    """All parameters drawn anew, variances positive."""
    noise = np.random.default_rng(0)
    definition, state = nnx.split(module)
    drawn = jax.tree.map(
        lambda leaf: jnp.asarray(0.1 + noise.random(leaf.shape), jnp.float32), state
    )
    signed = jax.tree.map(lambda leaf: leaf - 0.6 if leaf.ndim == 4 else leaf, drawn)
    return nnx.merge(definition, signed)


def values(norm, slope):
    parts = (norm.scale, norm.bias, norm.mean, norm.var, slope)
    return [np.asarray(part[...], np.float64) for part in parts]


def rectified(x, norm, slope):
    *statistics, slope = values(norm, slope)
    return oracle.prelu(oracle.normalized(x, *statistics), slope)


def kernels(block):
    convs = (getattr(block, f"d{d}").conv for d in (1, 2, 4, 8, 16))
    return [np.asarray(conv.kernel[...], np.float64) for conv in convs]


@pytest.mark.parametrize("inputs", [12, 9])
def test_a_block_is_its_definition(inputs):
    """The input is added where it has as many channels."""
    block = randomize(Block(inputs, 12, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(1).normal(size=(7, 20, inputs))
    reduce = np.asarray(block.c1.conv.kernel[...], np.float64)[0, 0]
    expected = oracle.pyramid(x, reduce, kernels(block))
    expected = expected + x if inputs == 12 else expected
    expected = rectified(expected, block.bn.bn, block.bn.act.slope)
    found = apply(block, jnp.asarray(x[None], jnp.float32))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_downsampling_is_its_definition():
    block = randomize(Downsampling(3, 11, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(1).normal(size=(6, 8, 3))
    kernel = np.asarray(block.c1.conv.kernel[...], np.float64)
    reduced = oracle.dilated(x, kernel)[::2, ::2]
    expected = oracle.pyramid(reduced, np.eye(2), kernels(block))
    expected = rectified(expected, block.bn, block.act.slope)
    found = apply(block, jnp.asarray(x[None], jnp.float32))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_transposed_convolutions_have_torchs_layout():
    network = models.untrained("espnet_camvid", num_classes=5)
    weight = models.to_tensors(network)["classifier.weight"]
    assert weight.shape == (5, 5, 2, 2)
    x = np.random.default_rng(0).normal(size=(2, 3, 5))
    decoder: Any = network.head
    found = apply(decoder.classifier, jnp.asarray(x[None], jnp.float32))[0]
    np.testing.assert_allclose(found, oracle.doubled(x, weight), rtol=1e-4, atol=1e-5)


def test_padding_counts_in_means():
    x = jnp.full((1, 4, 4, 1), 9.0)
    found = AveragePool(3, stride=2, padding=1)(x)
    np.testing.assert_array_equal(found[0, ..., 0], [[4, 6], [6, 9]])


def test_prelu_scales_the_negative_part_by_channel():
    layer = PReLU(2)
    layer.slope[...] = jnp.array([0.5, 2.0])
    x = jnp.array([[[[-4.0, -4.0], [3.0, 3.0]]]])
    assert layer(x).tolist() == [[[[-2.0, -8.0], [3.0, 3.0]]]]


def test_one_logit_per_pixel():
    definition, state = nnx.split(PRESETS["espnet_camvid"].abstract(12))
    images = jax.ShapeDtypeStruct((2, 24, 40, 3), jnp.float32)
    logits = jax.eval_shape(lambda s, x: nnx.merge(definition, s)(x), state, images)
    assert logits.shape == (2, 24, 40, 12)


@pytest.mark.slow
def test_its_tensors_have_the_authors_names():
    shapes = torch_shapes(PRESETS["espnet_camvid"].abstract(12))
    expected = {
        "encoder.level1.conv.weight": (16, 3, 3, 3),
        "encoder.level2.1.bn.act.weight": (64,),
        "encoder.level3.7.d16.conv.weight": (25, 25, 3, 3),
        "encoder.b3.bn.running_mean": (256,),
        "combine_l2_l3.1.d1.conv.weight": (4, 2, 3, 3),
        "up_l2.0.weight": (12, 12, 2, 2),
        "br.running_var": (12,),
    }
    assert expected.items() <= shapes.items()
    assert len(shapes) == 189


@pytest.mark.slow
def test_other_depths_are_other_networks():
    network = nnx.eval_shape(lambda: espnet(20, blocks=(2, 3), rngs=nnx.Rngs(0)))
    names = torch_shapes(network)
    assert "encoder.level3.2.c1.conv.weight" in names
    assert "encoder.level3.3.c1.conv.weight" not in names


def drawn(name, shape, noise):
    """Values that keep the scale of activations; slopes and variances positive."""
    if len(shape) == 4:
        return noise.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    low = 0.2 if name.endswith(("act.weight", "running_var")) else -0.5
    return noise.uniform(low, 1.0, shape)


@pytest.mark.slow
def test_the_whole_network_is_its_definition(tmp_path):
    from safetensors.numpy import save_file

    noise = np.random.default_rng(0)
    tensors = {
        name: drawn(name, shape, noise).astype(np.float32)
        for name, shape in torch_shapes(PRESETS["espnet_camvid"].abstract(12)).items()
    }
    save_file(tensors, tmp_path / "w.safetensors")
    halves = models.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    pretrained = models.load(
        "espnet_camvid", weights=tmp_path / "w.safetensors", normalize=halves
    )
    images = np.asarray(noise.random((1, 16, 24, 3)), np.float32)
    run = jax.jit(lambda model, x: (model(x), xattr.record(model, x, pretrained.site)))
    logits, recorded = run(pretrained.model, jnp.asarray(images))
    expected = oracle.ESPNet(tensors)(2.0 * images[0] - 1)
    assert logits.shape == (1, 16, 24, 12)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(logits[0] / scale, expected / scale, atol=1e-5)
    assert recorded[pretrained.site].shape == (1, 2, 3, 256)


def test_pretrained(tmp_path):
    from safetensors.numpy import save_file

    network = models.untrained("espnet_camvid", num_classes=12)
    save_file(models.to_tensors(network), tmp_path / "w.safetensors")
    pretrained = models.load("espnet_camvid", weights=tmp_path / "w.safetensors")
    assert pretrained.classes[8:] == ("car", "pedestrian", "bicyclist", "unlabelled")
    assert pretrained.preprocess == Stretch(height=360, width=480)
    with pytest.raises(ValueError, match="'espnet_camvid' .* names a class per pixel"):
        Plan(pretrained=pretrained, methods={})


def test_it_takes_blue_first_in_units_of_the_training_frames():
    normalize = PRESETS["espnet_camvid"].normalize()
    image = jnp.array([[[[105.03352311, 108.40914603, 110.33134258]]]]) / 255
    np.testing.assert_allclose(normalize(image), 0, atol=1e-7)
    red = normalize(image + jnp.array([[[[1.0, 0.0, 0.0]]]]))
    np.testing.assert_allclose(red[0, 0, 0], [0, 0, 1 / 69.90261427], atol=1e-7)
