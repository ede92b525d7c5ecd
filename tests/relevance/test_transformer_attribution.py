"""Transformer attribution against a restatement, and what it keeps to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import transformers
from tests.apart import apart
from tests.oracles import relevance_transformer as oracles


@pytest.fixture(scope="module")
def oracle():
    return oracles.Relevance(transformers.tensors(), patch=4, num_heads=2)


@pytest.mark.parametrize("start", [0, apart(1)])
def test_maps_are_those_of_loops(oracle, start):
    with jax.enable_x64(True):
        images = transformers.images(2, dtype=jnp.float64)
        found = xattr.transformer_attribution(
            transformers.tiny_vit(), images, [0, 2], start_layer=start
        )
    for image, target, map_ in zip(images, (0, 2), found, strict=True):
        image = np.asarray(image)
        relevances = oracle.relevances(image, np.eye(3)[target])[start:]
        gradients = [
            oracle.gradient(image, target, f"attention {index}")
            for index in range(start, 2)
        ]
        whole = oracles.transformer_attribution(relevances, gradients)
        wanted = whole[0, 1:].reshape(2, 2)
        np.testing.assert_allclose(map_, wanted, rtol=1e-5, atol=1e-9)


def test_relevance_of_attention_is_that_of_its_block():
    """One layer, read by one token: half of its relevance, times the gradient."""
    values = jnp.array([[1.0], [-2.0], [0.5], [4.0], [-1.0]])

    def model(x):
        scores = x[:, :, None] * x[:, None, :]
        return (jax.nn.softmax(scores) @ values[None])[:, 0]

    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5)), jnp.float32)
    found = xattr.transformer_attribution(model, x, [0], grid=(2, 2))
    weights = jax.nn.softmax(x[0, 0] * x[0])
    # The layer's z-plus: each weight's positive part in the sum of positive parts.
    helpful = weights * jnp.maximum(values[:, 0], 0)
    expected = helpful / helpful.sum() * jnp.maximum(values[:, 0], 0)
    np.testing.assert_allclose(found, expected[1:].reshape(1, 2, 2), rtol=1e-5)


@pytest.mark.slow
def test_linen_with_registers_and_a_wide_grid():
    model, images = transformers.linen_vit(), transformers.wide_images(2)
    maps = xattr.transformer_attribution(model, images)
    assert maps.shape == (2, 2, 3)
    assert float(maps.min()) >= 0 < float(maps.max())
    given = xattr.transformer_attribution(model, images, grid=(2, 3))
    np.testing.assert_array_equal(maps, given)


@pytest.mark.slow
def test_layers_that_are_chosen():
    model, images = transformers.tiny_vit(), transformers.images(1)
    names = [found.site.name for found in xattr.program.attentions(model, images)]
    np.testing.assert_array_equal(
        xattr.transformer_attribution(model, images, sites=names[1:]),
        xattr.transformer_attribution(model, images, start_layer=1),
    )


@pytest.mark.slow
def test_it_knows_classes():
    model, images = transformers.tiny_vit(), transformers.images(1)
    one, other = (
        np.asarray(xattr.transformer_attribution(model, images, [k])) for k in (0, 1)
    )
    assert np.abs(one - other).max() > 1e-2 * one.max()


def test_models_that_can_not_be_read():
    with pytest.raises(ValueError, match="`model` has no self-attention"):
        xattr.transformer_attribution(lambda x: x.mean((1, 2)), jnp.ones((1, 4, 4, 3)))

    def ends_in_probabilities(x):
        return jax.nn.softmax(transformers.tiny_vit()(x))

    with pytest.raises(ValueError, match=r"ends in a softmax.*starts at the logits"):
        xattr.transformer_attribution(ends_in_probabilities, transformers.images(1))
