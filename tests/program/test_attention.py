"""Softmaxes are found by what they compute, grids of tokens by where they come from."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import transformers
from xattr.program import attentions, sites, token_grid

TOKENS = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 6)), jnp.float32)


def scores_of(x):
    heads = x.reshape(len(x), 5, 2, 3)
    return jnp.einsum("nqhd,nkhd->nhqk", heads, heads)


def by_hand(scores):
    shares = jnp.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1)[..., None]


def without_keeping(scores):
    shares = jnp.exp(scores)
    return shares / jnp.expand_dims(jnp.sum(shares, -1), -1)


def in_single_precision(scores):
    return jax.nn.softmax(scores.astype(jnp.float32), axis=-1).astype(scores.dtype)


def of_keys_first(scores):
    return jax.nn.softmax(scores.swapaxes(-1, -2), axis=-2).swapaxes(-1, -2)


SPELLINGS = {
    "jax.nn": jax.nn.softmax,
    "by hand": by_hand,
    "without keeping": without_keeping,
    "single precision": in_single_precision,
    "keys first": of_keys_first,
    "jitted": jax.jit(jax.nn.softmax),
    "within another function": jax.jit(lambda scores: jax.nn.softmax(scores)),
    "rematerialized": jax.checkpoint(jax.nn.softmax),
}


@pytest.mark.parametrize("softmax", SPELLINGS.values(), ids=SPELLINGS)
def test_a_softmax_however_it_is_written(softmax):
    def model(x):
        return jnp.einsum("nhqk,nkd->nhqd", softmax(scores_of(x) / 2), x).sum((1, 2))

    (found,) = attentions(model, TOKENS)
    weights = found.heads(xattr.record(model, TOKENS, found.site.name)[found.site.name])
    expected = jax.nn.softmax(scores_of(TOKENS) / 2)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


NOT_ATTENTION = {
    "sums of other rows": lambda s: jnp.exp(s) / jnp.exp(s).sum(-2)[..., None],
    "sums of another axis": lambda s: jnp.exp(s) / jnp.exp(s).sum(-1)[..., None, :],
    "sums of other exponentials": lambda s: (
        jnp.exp(s) / jnp.exp(2 * s).sum(-1)[..., None]
    ),
    "sums of everything": lambda s: (
        jnp.exp(s) / jnp.exp(s).sum((-2, -1), keepdims=True)
    ),
    "a division by a root": lambda s: s / 3**0.5,
    "over heads": lambda s: jax.nn.softmax(s, axis=1),
    "over images": lambda s: jax.nn.softmax(s, axis=0),
    "of few queries": lambda s: jax.nn.softmax(s[:, :, :1]),
}


@pytest.mark.parametrize("other", NOT_ATTENTION.values(), ids=NOT_ATTENTION)
def test_what_is_no_softmax_over_tokens(other):
    assert attentions(lambda x: other(scores_of(x)), TOKENS) == []


def test_classes_are_no_tokens():
    assert attentions(lambda x: jax.nn.softmax(x[:, 0]), TOKENS) == []


def test_a_loop_over_blocks_hides_its_attention():
    def model(x):
        def block(x, _):
            return jax.nn.softmax(x @ x.swapaxes(1, 2)) @ x, None

        return jax.lax.scan(block, x, None, length=2)[0]

    assert attentions(model, TOKENS) == []


@pytest.mark.parametrize("n", [1, 2])
def test_products_that_drop_the_axis_of_a_batch_of_one(n):
    def model(x):
        return (jax.nn.softmax(x @ x.swapaxes(1, 2)) @ x).sum(1)

    x = TOKENS[:n]
    (found,) = attentions(model, x)
    weights = found.heads(xattr.record(model, x, found.site.name)[found.site.name])
    expected = jax.nn.softmax(x @ x.swapaxes(1, 2))[:, None]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_as_many_heads_as_tokens():
    def model(x):
        heads = x[:, :, :5, None] * jnp.ones(2)[None, None, None]
        scores = jnp.einsum("nqhd,nkhd->nhqk", heads, heads)
        return jax.nn.softmax(scores, axis=-1)

    (found,) = attentions(model, TOKENS)
    assert (found.images, found.queries, found.keys) == (0, 2, 3)


def test_the_attention_that_jax_brings():
    def model(x):
        heads = x.reshape(len(x), 5, 2, 3)
        return jax.nn.dot_product_attention(heads, heads, heads).sum((1, 2))

    (found,) = attentions(model, TOKENS)
    weights = found.heads(xattr.record(model, TOKENS, found.site.name)[found.site.name])
    expected = jax.nn.softmax(scores_of(TOKENS) / 3**0.5)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def over_the_batch(module, x):
    return jax.vmap(module)(x)


class OneImage(eqx.Module):
    """A transformer for the tokens of one image."""

    attention: eqx.nn.MultiheadAttention

    def __call__(self, x):
        return self.attention(x, x, x).mean(0)


def test_a_model_of_one_image_over_the_batch():
    attention = eqx.nn.MultiheadAttention(2, 6, key=jax.random.key(0))
    model = xattr.from_function(over_the_batch, OneImage(attention))
    (found,) = attentions(model, TOKENS)
    weights = found.heads(xattr.record(model, TOKENS, found.site.name)[found.site.name])
    assert weights.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    one = xattr.from_function(over_the_batch, model.params)
    alone = xattr.record(one, TOKENS[1:], found.site.name)[found.site.name]
    np.testing.assert_allclose(found.heads(alone)[0], weights[1], rtol=1e-5)


@pytest.mark.slow
def test_a_transformer_of_keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    x = keras.Input((5, 6))
    y = keras.layers.MultiHeadAttention(2, 3)(x, x)
    network = keras.Model(x, keras.layers.Dense(3)(y[:, 0]))
    params = (
        [v.value for v in network.trainable_variables],
        [v.value for v in network.non_trainable_variables],
    )

    def apply(params, x):
        return network.stateless_call(*params, x)[0]

    model = xattr.from_function(apply, params)
    with jax.numpy_rank_promotion("allow"):
        (found,) = attentions(model, TOKENS)
        recorded = xattr.record(model, TOKENS, found.site.name)
    weights = found.heads(recorded[found.site.name])
    assert weights.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_blocks_of_flax_in_order():
    found = attentions(transformers.tiny_vit(), transformers.images(2))
    assert [attention.site.name for attention in found] == [
        f"features/encoder/layers/encoder_layer_{index}/self_attention/div:1"
        for index in (0, 1)
    ]
    found = attentions(transformers.linen_vit(), transformers.wide_images(2))
    assert [attention.num_tokens for attention in found] == [9, 9]


@pytest.mark.parametrize(
    ("num_tokens", "grid"),
    [(6, (2, 3)), (7, (2, 3)), (11, (2, 3)), (12, None), (5, None)],
)
def test_the_grid_is_that_of_the_patches(num_tokens, grid):
    found = sites(transformers.linen_vit(), transformers.wide_images(1))
    assert token_grid(found, num_tokens) == grid


def test_weights_of_an_image_make_no_channels():
    """The axis that attention reads by is one of tokens, not of channels."""
    axes = {s.name: s.axes for s in sites(lambda x: x @ x.swapaxes(1, 2), TOKENS)}
    assert axes["dot:0"] == "n??"
    axes = {s.name: s.axes for s in sites(lambda x: x @ jnp.ones((6, 4)), TOKENS)}
    assert axes["dot:0"] == "n?c"
