"""The terms sum to the score, whatever the model is made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xattr
from tests.apart import apart, slow_but
from tests.networks import images, tiny_convnet

KERNEL = np.random.default_rng(0).normal(size=(3, 3, 3, 4)) / 5
SQUARE = np.random.default_rng(1).normal(size=(4, 4))
BIAS = np.random.default_rng(2).normal(size=(4,))


def conv(x):
    kernel = jnp.asarray(KERNEL, x.dtype)
    numbers = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers
    )
    return x + jnp.asarray(BIAS, x.dtype)


def dense(x):
    return x @ jnp.asarray(SQUARE, x.dtype) + jnp.asarray(BIAS, x.dtype)


def attention(x):
    tokens = dense(x.reshape(len(x), -1, 4))
    weights = jax.nn.softmax(jnp.einsum("nte,nse->nts", tokens, dense(tokens)))
    return jnp.einsum("nts,nse->nte", weights, tokens)


def layer_norm(x):
    centered = x - x.mean(-1, keepdims=True)
    return dense(centered / jnp.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5))


def squeeze_excite(x):
    return x * jax.nn.sigmoid(dense(x.mean((1, 2), keepdims=True)))


def loop(x):
    return jax.lax.scan(lambda x, _: (jax.nn.relu(dense(x)), None), x, length=3)[0]


def padded_pool(x):
    wide = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    return jax.lax.reduce_window(
        wide, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "VALID"
    )


@jax.custom_vjp
def cube(x):
    return x**3


cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x**2 * g,))

LAYERS = {
    "relu": jax.nn.relu,
    "relu as a choice": lambda x: jnp.where(x > 0, x, 0),
    "relu as a product": lambda x: x * (x > 0),
    "relu6": jax.nn.relu6,
    "leaky relu": jax.nn.leaky_relu,
    "gelu": jax.nn.gelu,
    "clip": lambda x: jnp.clip(x, -0.1, 0.3),
    "attention": attention,
    "layer norm": layer_norm,
    "gate": squeeze_excite,
    "residual": lambda x: jax.nn.relu(x + dense(jax.nn.relu(x))),
    "concatenation": lambda x: jnp.concatenate([x, jnp.ones_like(x)], -1)[..., 2:6],
    "max pooling": padded_pool,
    "scan": loop,
    "remat": jax.checkpoint(lambda x: jax.nn.relu(dense(x))),
    "branch": lambda x: jax.lax.cond(True, dense, jax.nn.relu, x),
    "batch mapped": jax.vmap(dense),
    "derivative of its own": cube,
    "stopped": lambda x: x + 3 * jax.lax.stop_gradient(dense(x)),
    "squares": lambda x: x**2 - 1,
    "maximum of parameters": lambda x: jnp.maximum(x, jnp.full_like(x, 0.1)),
}


FAST = {
    "relu",
    "attention",
    "layer norm",
    "max pooling",
    "scan",
    "branch",
    "derivative of its own",
    "stopped",
}


@pytest.mark.parametrize("name", slow_but(LAYERS, FAST))
def test_terms_sum_to_the_score(name):
    def model(x):
        x = LAYERS[name](jax.nn.relu(conv(x)))
        return x.reshape(len(x), -1, 4).mean(1) * 3 + 1

    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
        batch = images(2, dtype=jnp.float64)[:, :6, :6]
        terms = xattr.full_gradients(model, batch, [1, 3])
        expected = jax.jit(model)(batch)[np.arange(2), [1, 3]]
        for n in range(2):
            assert all(bool(jnp.isfinite(term).all()) for term in terms.values())
            total = sum(float(term[n].sum()) for term in terms.values())
            np.testing.assert_allclose(total, expected[n], rtol=1e-10)


@pytest.mark.parametrize(
    "score",
    [xattr.probability, apart(xattr.margin), apart(xattr.finer), apart(xattr.rest)],
)
def test_terms_sum_to_any_score(score):
    model = tiny_convnet(jax.random.key(0), dtype=np.float32)
    targets = jnp.array([2, 0])
    terms = xattr.full_gradients(model, images(2), targets, score=score)
    total = sum(term.reshape(2, -1).sum(1) for term in terms.values())
    expected = score(model(images(2)), targets)
    np.testing.assert_allclose(total, expected, rtol=1e-4, atol=1e-5)


MEAN, VAR = np.array([[-1, 0, 1, 2], [0.5, 1.5, 2.5, 3.5]], np.float32)
SCALE, SHIFT = np.array([[0.5, 2, -1, 1], [0, 0.3, 0.6, 1]], np.float32)


class ConvNorm(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(3, 4, (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.norm.mean = nnx.BatchStat(jnp.asarray(MEAN))
        self.norm.var = nnx.BatchStat(jnp.asarray(VAR))
        self.norm.scale = nnx.Param(jnp.asarray(SCALE))
        self.norm.bias = nnx.Param(jnp.asarray(SHIFT))

    def __call__(self, x):
        return jax.nn.relu(self.norm(self.conv(x))).mean((1, 2))


def test_batch_norm_has_one_bias():
    model = xattr.from_nnx(ConvNorm())
    terms = xattr.full_gradients(model, images(2), jnp.array([1, 2]))
    (name,) = set(terms) - {"input", "score"}
    assert name.startswith("norm/")
    bias = SHIFT - MEAN * SCALE / jnp.sqrt(VAR + 1e-5)
    lit = xattr.record(model, images(2), name)[name] > 0
    expected = lit * bias[None, None, None] / lit[0, ..., 0].size
    for n, target in enumerate((1, 2)):
        of_class = jnp.where(jnp.arange(4) == target, expected[n], 0)
        np.testing.assert_allclose(terms[name][n], of_class, rtol=1e-4, atol=1e-7)


def test_folding_batch_norm_changes_nothing():
    def parts(folded):
        def apply(x):
            kernel = KERNEL * 2 if folded else KERNEL
            numbers = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(
                x, jnp.asarray(kernel), (1, 1), "SAME", dimension_numbers=numbers
            )
            x = x + (2 * BIAS + 3) if folded else (x + BIAS + 1) * 2 + 1
            return jax.nn.relu(x).mean((1, 2))

        with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
            batch = images(2, dtype=jnp.float64)
            terms = xattr.full_gradients(apply, batch, [1, 3])
        assert len(terms) == 3
        return [terms[name] for name in ("input", *sorted(terms)) if name != "score"]

    for plain, folded in zip(parts(False), parts(True), strict=True):
        np.testing.assert_allclose(plain, folded, rtol=1e-9, atol=1e-12)


def test_without_biases_all_is_the_images():
    model = tiny_convnet(jax.random.key(0), bias=False)
    terms = xattr.full_gradients(model, images(2), [1, 2])
    others = [term for name, term in terms.items() if name != "input"]
    assert others
    for term in others:
        np.testing.assert_array_equal(term, 0)
    expected = xattr.input_x_gradient(model, images(2), [1, 2])
    np.testing.assert_allclose(terms["input"], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", [(5, 2), apart((1, 3))])
def test_any_features(size):
    model = xattr.Model(lambda w, x: jnp.tanh(x @ w) + 1, jnp.ones((size[1], 2)))
    x = jax.random.normal(jax.random.key(0), size)
    terms = xattr.full_gradients(model, x, jnp.zeros(size[0], int))
    assert terms["input"].shape == size
    total = sum(term.reshape(size[0], -1).sum(1) for term in terms.values())
    np.testing.assert_allclose(total, model(x)[:, 0], rtol=1e-5)
