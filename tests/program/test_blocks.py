"""What operations are known as, told by rules that listen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr.program import Composite, Where, replace_rules

SQUARE = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 4, 4)).astype(np.float32)
FACTORS = np.arange(1, 5, dtype=np.float32)
IMAGES = jax.ShapeDtypeStruct((2, 6, 6, 4), jnp.float32)


@pytest.fixture(autouse=True)
def any_rank():
    with jax.numpy_rank_promotion("allow"):
        yield


def kinds(model, x=IMAGES, **how):
    """What the blocks of a model are, in its order."""
    seen = []

    def listen(operation, inputs, output, relevance):
        seen.append(operation.kind)
        return jax.vjp(operation.run, *inputs)[1](relevance)

    composite = Composite(((Where(), listen),), flow="gradient", **how)
    ruled = replace_rules(model, composite)
    jax.eval_shape(lambda x: (lambda y, back: back(y))(*jax.vjp(ruled, x)), x)
    return seen[::-1]


ACTIVATIONS = (
    *("elu", "selu", "celu", "gelu", "silu", "swish", "mish", "softplus", "tanh"),
    *("sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "log_sigmoid"),
    *("soft_sign", "sparse_plus", "hard_tanh", "leaky_relu"),
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("relu", "relu"),
        ("relu6", "rectifier"),
        ("standardize", "norm"),
        ("softmax", "softmax"),
        *((name, "activation") for name in ACTIVATIONS),
    ],
)
def test_every_activation_is_one_block(name, kind):
    assert kinds(getattr(jax.nn, name)) == [kind]


def test_what_is_spelled_out_is_several():
    assert kinds(jax.nn.squareplus) == ["activation", "affine"]
    assert kinds(jax.nn.sparse_sigmoid)[1:] == ["relu", "activation", "affine"]
    assert kinds(jax.nn.identity) == []


SPELLINGS = {
    "relu": [
        lambda x: jnp.maximum(x, 0),
        lambda x: jnp.maximum(0.0, x),
        lambda x: x * (x > 0),
        lambda x: jnp.where(x > 0, x, 0),
        lambda x: jax.lax.select(x >= 0, x, jnp.zeros_like(x)),
        lambda x: jax.jit(jax.checkpoint(jax.nn.relu))(x),
        lambda x: jnp.clip(x, 0, None),
    ],
    "rectifier": [
        lambda x: x * jax.nn.relu(x),
    ],
    "activation": [
        lambda x: x + x,
        lambda x: x * jax.nn.sigmoid(x),
        lambda x: x / (1 + jnp.exp(-x)),
        lambda x: jnp.where(x > 0, x, FACTORS * x),
        lambda x: x * jnp.tanh(jnp.log1p(jnp.exp(x))),
        lambda x: x * x,
        lambda x: x**3 - x,
        jnp.abs,
    ],
    "affine": [
        lambda x: 2 * x,
        lambda x: x - FACTORS,
        lambda x: x * FACTORS,
        lambda x: x / 3,
        lambda x: -x,
    ],
    "structural": [
        lambda x: x.reshape(2, -1),
        lambda x: x.transpose(0, 3, 1, 2),
        lambda x: x[:, 1:3],
        lambda x: x[:, ::-1],
        lambda x: x[:, None],
        lambda x: jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0))),
        lambda x: x.astype(jnp.bfloat16),
        lambda x: x[..., np.array([2, 0])],
        lambda x: x.at[:, 0].set(0),
        lambda x: jnp.tile(x, 2),
        lambda x: jnp.stack([x, x]),
        lambda x: jnp.where(jnp.arange(4) > 1, x, 0),
        lambda x: jnp.concatenate([x, jnp.ones_like(x)], -1),
    ],
    "pool": [
        lambda x: x.sum((1, 2)),
        lambda x: jnp.cumsum(x, 1),
        lambda x: jax.lax.reduce_window(
            x, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        ),
    ],
    "maximum": [
        lambda x: x.max((1, 2)),
        lambda x: jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME"
        ),
    ],
    "minimum": [lambda x: x.min((1, 2)), lambda x: jnp.minimum(x[:, 1:], x[:, :-1])],
    "norm": [
        lambda x: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True)),
        lambda x: jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6) * x,
        lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True),
    ],
    "softmax": [
        lambda x: (y := jnp.exp(x)) / y.sum(-1, keepdims=True),
        lambda x: (y := jnp.exp(x - x.max(-1)[..., None])) / y.sum(-1)[..., None],
        lambda x: jax.nn.softmax(x, (1, 2)),
    ],
    "dense": [
        lambda x: x @ SQUARE,
        lambda x: x @ SQUARE + FACTORS,
        lambda x: jnp.einsum("nhwc,cd->ndhw", x, SQUARE),
        lambda x: (x @ SQUARE - FACTORS) * FACTORS / 2,
        lambda x: jnp.einsum("nhwc,hw->nc", x, np.ones((6, 6), np.float32)),
    ],
    "conv": [
        lambda x: convolve(x) + FACTORS,
        lambda x: (convolve(x) - FACTORS) * FACTORS / np.float32(2) + 1,
        lambda x: convolve(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))),
        lambda x: convolve(x, KERNEL - KERNEL.mean((0, 1, 2))),
        lambda x: convolve(x).astype(jnp.bfloat16),
    ],
    "quotient": [lambda x: x[:, 1:] / x[:, :-1]],
    "sum": [
        lambda x: x[:, 1:] + x[:, :-1],
        lambda x: x[:, 1:] - x[:, :-1],
    ],
    "product": [
        lambda x: x[:, 1:] * x[:, :-1],
        lambda x: jnp.einsum("nhwc,nkwc->nhk", x, x),
        lambda x: jnp.where(x.sum() > 0, x[:, 1:], 2.0) * x[:, :-1],
    ],
}


def test_a_function_of_another_shape_is_taken_apart():
    """Or what is passed on would be spread over all that it was made of."""
    found = kinds(lambda x: x.mean((1, 2)) + x.max((1, 2)))
    assert sorted(set(found)) == ["affine", "maximum", "pool", "sum"]
    found = kinds(lambda x: (jax.nn.softmax(x, (1, 2)) * x).sum((1, 2)))
    assert found == ["softmax", "product", "pool"]


def test_gates_are_products():
    found = kinds(lambda x: x / (1 + jnp.exp(-x.mean((1, 2), keepdims=True))))
    assert "softmax" not in found
    assert "quotient" in found


def test_a_rule_is_for_one_result():
    with pytest.raises(ValueError, match=r"'sort:\d' has 2 results"):
        kinds(lambda x: sum(jax.lax.sort((x, 2 * x), num_keys=1)))


def convolve(x, kernel=KERNEL):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, jnp.asarray(kernel), (1, 1), "SAME", dimension_numbers=numbers
    )


@pytest.mark.parametrize(
    ("kind", "number"),
    [(kind, k) for kind in SPELLINGS for k in range(len(SPELLINGS[kind]))],
)
def test_spellings(kind, number):
    found = [k for k in kinds(SPELLINGS[kind][number]) if k != "structural"]
    assert found == ([] if kind == "structural" else [kind])
