from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.networks import images, tiny_convnet
from tests.oracles.relevance_deeplift import STRIDE, WINDOW, Network
from tests.transformers import images as small_images
from tests.transformers import tiny_vit

TARGETS = jnp.array([2, 0])


def network():
    random = np.random.default_rng(0)
    sizes = ((3, 3, 2, 4), (4,), (36, 5), (5,), (5, 3), (3,))
    return Network(*(random.normal(size=size) / 3 for size in sizes))


def apply(net, x):
    numbers = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(
        x, jnp.asarray(net.kernel), (1, 1), "VALID", dimension_numbers=numbers
    )
    x = jax.nn.relu(x + net.kernel_bias)
    window, strides = (1, WINDOW, WINDOW, 1), (1, STRIDE, STRIDE, 1)
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, "VALID")
    x = jnp.tanh(x.reshape(x.shape[0], -1) @ net.hidden + net.hidden_bias)
    return x @ net.head + net.head_bias


@pytest.fixture
def double():
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
        yield


def batch(seed):
    return np.random.default_rng(seed).normal(size=(2, 9, 9, 2))


def test_equals_the_rescale_rule_restated(double):
    net, x, b = network(), batch(1), batch(2)
    model = xattr.from_function(apply, net)
    maps = xattr.deeplift(model, jnp.asarray(x), TARGETS, baseline=jnp.asarray(b))
    wanted = [net.contributions(*row) for row in zip(x, b, TARGETS, strict=True)]
    np.testing.assert_allclose(maps, wanted, rtol=1e-10, atol=1e-13)


def test_deepshap_averages_over_all_baselines(double):
    net, x, b = network(), batch(1), batch(2)
    model = xattr.from_function(apply, net)
    maps = xattr.deepshap(model, jnp.asarray(x), TARGETS, baselines=jnp.asarray(b))
    wanted = [
        np.mean([net.contributions(row, other, target) for other in b], 0)
        for row, target in zip(x, TARGETS, strict=True)
    ]
    np.testing.assert_allclose(maps, wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("chunk_size", [3])
def test_deepshap_does_not_depend_on_chunks(chunk_size):
    model, x = tiny_convnet(jax.random.key(0)), images(2)
    baselines = images(4, seed=1)[1:]
    whole = xattr.deepshap(model, x, baselines=baselines)
    parts = xattr.deepshap(model, x, baselines=baselines, chunk_size=chunk_size)
    np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "score",
    [
        xattr.probability,
        pytest.param(xattr.logit, marks=pytest.mark.slow),
        pytest.param(xattr.margin, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("model", "x"),
    [
        (tiny_convnet(jax.random.key(0)), images(2)),
        pytest.param(tiny_vit(), small_images(2), marks=pytest.mark.slow),
    ],
)
def test_sums_to_the_change_of_the_score(model, x, score):
    classes = model(x).argmax(-1)
    maps = xattr.deeplift(model, x, baseline=0.3, score=score)
    rise = score(model(x), classes) - score(model(jnp.full_like(x, 0.3)), classes)
    np.testing.assert_allclose(maps.sum((1, 2, 3)), rise, rtol=1e-4, atol=1e-6)


def layer_norms(x):
    """As Flax has them: the scale is multiplied with what divides."""
    scale = jnp.linspace(0.5, 1.5, 6)[None]
    for _ in range(3):
        x = x @ jnp.sin(jnp.arange(36.0)).reshape(6, 6)
        centered = x - x.mean(-1, keepdims=True)
        x = centered * (jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-6) * scale)
    return x


def divided(x):
    y = x @ jnp.sin(jnp.arange(36.0)).reshape(6, 6)
    return 10 * y / jnp.maximum(jnp.linalg.norm(y, axis=-1, keepdims=True), 1e-6)


def clipped(x):
    return jnp.clip(20 * x @ jnp.sin(jnp.arange(36.0)).reshape(6, 6), -10.0, 10.0)


@pytest.mark.parametrize("model", [layer_norms, divided, clipped])
def test_sums_to_the_change_in_single_precision(model):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)), jnp.float32)
    classes = jnp.arange(4)
    maps = xattr.deeplift(model, x, classes)
    rise = xattr.logit(model(x) - model(jnp.zeros_like(x)), classes)
    np.testing.assert_allclose(maps.sum(1), rise, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("function", "at", "before"),
    [
        (lambda x: x[:, :1] / x[:, 1:], (6.0, 2.0), (1.0, 4.0)),
        (lambda x: x[:, :1] * x[:, 1:], (6.0, 2.0), (1.0, 4.0)),
        (lambda x: jnp.minimum(x[:, :1], x[:, 1:]), (6.0, 2.0), (1.0, 4.0)),
        (lambda x: jnp.minimum(x[:, :1], x[:, 1:]), (2.0, 3.0), (9.0, 5.0)),
        (lambda x: jnp.maximum(x[:, :1], x[:, 1:]), (6.0, 2.0), (1.0, 4.0)),
        (lambda x: x.min(1, keepdims=True), (6.0, 2.0), (1.0, 4.0)),
        (lambda x: x.std(1, keepdims=True), (6.0, 2.0), (1.0, 4.0)),
        (lambda x: jax.nn.softmax(x)[:, :1], (6.0, 2.0), (1.0, 4.0)),
        (lambda x: x[:, :1] * jax.lax.stop_gradient(x[:, 1:]), (6.0, 2.0), (1.0, 4.0)),
        (lambda x: jnp.sign(x[:, :1]) * x[:, 1:], (6.0, 2.0), (-1.0, 4.0)),
        (lambda x: jnp.linalg.norm(x, axis=1, keepdims=True), (3.0, 4.0), (1.0, 0.5)),
    ],
)
def test_operations_share_out_all_of_a_difference(function, at, before):
    x, b = jnp.array([at]), jnp.array([before])
    maps = xattr.deeplift(function, x, jnp.array([0]), baseline=b)
    rise = (function(x) - function(b))[0, 0]
    np.testing.assert_allclose(maps.sum(), rise, rtol=1e-5)


def test_products_with_itself():
    x = jnp.sin(jnp.arange(24.0)).reshape(2, 3, 4)

    def gram(x):
        return jnp.einsum("nic,njc->nij", x, x).reshape(len(x), 9)

    classes = jnp.array([1, 4])
    maps = xattr.deeplift(gram, x, classes, baseline=0.3)
    rise = xattr.logit(gram(x) - gram(jnp.full_like(x, 0.3)), classes)
    np.testing.assert_allclose(maps.sum((1, 2)), rise, rtol=1e-4)


def test_of_a_minimum_the_lower_one_counts():
    def model(x):
        return x.min(1, keepdims=True)

    x, b = jnp.array([[6.0, 2.0]]), jnp.array([[1.0, 4.0]])
    # From 1 to 2: the lower minimum was the first value, which rose by five.
    maps = xattr.deeplift(model, x, jnp.array([0]), baseline=b)
    np.testing.assert_allclose(maps, [[1.0, 0.0]], rtol=1e-6)


def test_the_image_itself_as_baseline_gives_zeros():
    model, x = tiny_convnet(jax.random.key(0)), images(2)
    assert not xattr.deeplift(model, x, baseline=x).any()


def test_choices_have_no_difference():
    def model(x):
        return jnp.where(x.sum(1, keepdims=True) > 0, x, 2 * x)

    with pytest.raises(ValueError, match="depends on a choice among values"):
        xattr.deeplift(model, jnp.ones((2, 3)), TARGETS)


def test_one_baseline_or_a_data_set():
    model, x = tiny_convnet(jax.random.key(0)), images(2)
    with pytest.raises(ValueError, match="`baseline` holds 3 baselines"):
        xattr.deeplift(model, x, baseline=jnp.stack([x, x, x]))
    with pytest.raises(ValueError, match="`baselines` has shape"):
        xattr.deepshap(model, x, baselines=x[:, :2])
    number: Any = 0.0
    with pytest.raises(TypeError, match="`baselines` is a float"):
        xattr.deepshap(model, x, baselines=number)
