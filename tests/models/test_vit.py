"""Vision transformers: what they compute, whose names they take, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests import transformers
from tests.oracles.vit import ViT
from xattr.models import load_network, to_tensors, untrained, with_tensors
from xattr.models._convert import torch_shapes
from xattr.models._presets import PRESETS
from xattr.models._vit import vit


def test_it_is_the_restatement_from_torchvisions_tensors():
    oracle = ViT(transformers.tensors(), patch=4, num_heads=2)
    with jax.enable_x64(True):
        images = transformers.images(2, dtype=jnp.float64)
        found = transformers.tiny_vit()(images)
        expected = [oracle.run(np.asarray(image))[0] for image in images]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert np.ptp(expected, axis=0).max() > 0.1


@pytest.mark.parametrize(
    ("name", "parameters"), [("vit_b_16", 86567656), ("vit_b_32", 88224232)]
)
def test_published_sizes(name, parameters):
    network = PRESETS[name].abstract(1000)
    shapes = torch_shapes(network)
    assert sum(np.prod(shape) for shape in shapes.values()) == parameters
    block = "encoder.layers.encoder_layer_11"
    assert {
        "class_token": (1, 1, 768),
        f"{block}.self_attention.in_proj_weight": (2304, 768),
        f"{block}.self_attention.in_proj_bias": (2304,),
        f"{block}.self_attention.out_proj.weight": (768, 768),
        f"{block}.mlp.3.weight": (768, 3072),
        "heads.head.weight": (1000, 768),
    }.items() <= shapes.items()
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    definition, state = nnx.split(network)

    def tokens(state, images):
        return nnx.merge(definition, state).features(images)

    side = 224 // int(name[-2:])
    assert jax.eval_shape(tokens, state, images).shape == (2, side**2 + 1, 768)


def test_tensors_there_and_back():
    tensors = transformers.tensors()
    back = to_tensors(transformers.tiny_network())
    assert back.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(back[name], value)


def test_names_of_torchvisions_first_transformers():
    """Its published files call a block's dense layers `linear_1` and `linear_2`."""
    old = {
        name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): x
        for name, x in transformers.tensors().items()
    }
    assert sum("linear_" in name for name in old) == 8
    back = to_tensors(with_tensors(transformers.tiny_network(1), old))
    for name, value in transformers.tensors().items():
        np.testing.assert_array_equal(back[name], value)


@pytest.mark.slow
def test_a_file_of_tensors_loads_by_name(tmp_path, monkeypatch):
    from safetensors.numpy import save_file

    from xattr.models import _presets

    small = _presets.Preset(
        lambda classes, rngs: vit(classes, **transformers.SIZES, hidden=12, rngs=rngs),
        output="heads.head.weight",
        site=transformers.SITE,
        normalize=PRESETS["vit_b_16"].normalize,
    )
    monkeypatch.setitem(PRESETS, "tiny", small)
    save_file(transformers.tensors(), tmp_path / "w.safetensors")
    network = load_network("tiny", weights=tmp_path / "w.safetensors")
    images = transformers.images(1)
    expected = transformers.tiny_network()(network.normalize(images))
    np.testing.assert_allclose(network(images), expected, rtol=1e-6)
    assert untrained("tiny", num_classes=7)(images).shape == (1, 7)


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="`patch_size`=5 does not divide `image_size`"):
        vit(3, patch_size=5, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="`num_heads`=7 does not divide `width`=768"):
        vit(3, patch_size=16, num_heads=7, rngs=nnx.Rngs(0))
    with pytest.raises(
        ValueError, match="12 x 8 pixels give 3 x 2 patches.*for 4. Res"
    ):
        transformers.tiny_network()(jnp.zeros((1, 12, 8, 3)))
