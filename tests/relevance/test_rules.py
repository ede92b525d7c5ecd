"""Every rule over every kind of layer, against its formula over the layer's matrix."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.apart import slow_but
from tests.oracles import relevance_rules as oracle
from xattr import relevance
from xattr.program import Composite, Where, replace_rules

RULES = {
    "epsilon": (relevance.proportional, oracle.epsilon),
    "large epsilon": (
        partial(relevance.proportional, epsilon=0.5),
        partial(oracle.epsilon, eps=0.5),
    ),
    "gamma": (relevance.gamma, oracle.gamma),
    "z-plus": (relevance.z_plus, oracle.z_plus),
    "alpha-beta": (
        relevance.alpha_beta,
        partial(oracle.alpha_beta, alpha=2.0, beta=1.0),
    ),
    "flat": (relevance.flat, oracle.flat),
    "w-square": (relevance.w_square, oracle.w_square),
    "z-box": (
        partial(relevance.z_box, low=-2.5, high=3.0),
        partial(oracle.z_box, low=-2.5, high=3.0),
    ),
}
LAYERS = Where(("conv", "dense"))
KEPT = Where(("relu", "affine"))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
        yield


# What they do depends on what is known of the signs of the inputs.
SIGNED = ("gamma", "z-plus", "alpha-beta")
# Those that need all that is known of a layer: signs, taps and bounds.
FEW = ("gamma", "flat", "z-box")


def passed_on(model, x, weights, rules):
    """What each rule passes on of the outputs times some weights."""
    found = {}
    for name in rules:
        composite = Composite(((LAYERS, RULES[name][0]), (KEPT, relevance.keep)))
        outputs, pull_back = jax.vjp(replace_rules(model, composite), x)
        (found[name],) = pull_back(outputs * weights)
    return found


def assert_restated(model, layer, images, order=None, rules=tuple(RULES)):
    """A model of batches with its matrix, for inputs of both signs and rectified ones.

    Args:
      model: of a batch in the model's own layout.
      layer: of one flat image in the order `h w c`.
      images: `n ...` in the order of the matrix.
      order: axes of the model's images and outputs, by those of the matrix.
      rules: names.
    """
    order = range(images.ndim) if order is None else order

    @jax.jit
    def run(x, weights):
        x, weights = x.transpose(order), weights.transpose(order)
        signed = passed_on(model, x, weights, rules)
        both = [name for name in SIGNED if name in rules]
        rectified = passed_on(lambda x: model(jax.nn.relu(x)), x, weights, both)
        back = jax.tree.map(
            lambda y: y.transpose(np.argsort(order)), (signed, rectified)
        )
        return model(x).transpose(np.argsort(order)), *back

    shape = jax.eval_shape(lambda x: model(x.transpose(order)), images).shape
    weights = drawn(*(shape[k] for k in np.argsort(order)), seed=7)
    outputs, signed, rectified = run(images, weights)
    for k, image in enumerate(images):
        flat, scales = image.ravel(), weights[k].ravel()
        np.testing.assert_allclose(outputs[k].ravel(), layer.output(flat), rtol=1e-9)
        for found, x in ((signed, flat), (rectified, np.maximum(flat, 0))):
            for name in found:
                expected = RULES[name][1](layer, x, layer.output(x) * scales)
                size = np.abs(expected).max()
                assert size > 1e-3
                np.testing.assert_allclose(
                    found[name][k].ravel(), expected, rtol=1e-8, atol=1e-10 * size
                )


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


WEIGHTS, BIAS = drawn(12, 5, seed=1), drawn(5, seed=2)
DENSE = {
    "product": lambda x: x @ WEIGHTS + BIAS,
    "weights first": lambda x: jnp.einsum("io,ni->on", WEIGHTS, x).T + BIAS,
    "bias first, both negative": lambda x: -(-BIAS - x @ WEIGHTS),
    "scaled": lambda x: (x @ (WEIGHTS * 4) / 2 + 2 * BIAS) * 0.5,
}


@pytest.mark.parametrize("name", slow_but(DENSE, ["product", "weights first"]))
def test_dense_layers(name):
    rules = tuple(RULES) if name == "product" else FEW
    assert_restated(DENSE[name], oracle.dense(WEIGHTS, BIAS), drawn(2, 12), rules=rules)


@pytest.mark.slow
def test_dense_layers_of_several_axes():
    def model(x):
        weights = WEIGHTS.reshape(2, 3, 2, 5)
        return jnp.einsum("nabc,abcd->nd", x.reshape(-1, 2, 3, 2), weights) + BIAS

    layer = oracle.dense(WEIGHTS, BIAS)
    assert_restated(model, layer, drawn(2, 12), rules=("epsilon", *SIGNED))


@pytest.mark.slow
def test_dense_layers_without_bias():
    layer = oracle.dense(WEIGHTS, np.zeros(5))
    assert_restated(lambda x: x @ WEIGHTS, layer, drawn(2, 12), rules=FEW)


def test_dense_layers_of_groups():
    """An axis that weights, inputs and outputs share."""
    weights = drawn(3, 4, 2, seed=1)
    whole = np.zeros((12, 6))
    for g in range(3):
        whole[4 * g : 4 * g + 4, 2 * g : 2 * g + 2] = weights[g]
    layer = oracle.Layer(whole, (whole != 0).astype(float), np.zeros(6))

    def model(x):
        x = x.reshape(-1, 3, 4)
        return jnp.einsum("ngc,gcd->ngd", x, weights).reshape(-1, 6)

    assert_restated(model, layer, drawn(2, 12), rules=("epsilon", "gamma"))


CONVOLUTIONS = {
    "same": {"padding": ((1, 1), (1, 1))},
    "strides": {"stride": (2, 3), "padding": ((1, 0), (2, 1))},
    "dilation": {"dilation": (2, 1)},
    "groups": {"groups": 2, "stride": (2, 1)},
    "depthwise": {"groups": 4, "padding": ((1, 1), (1, 1))},
    "transposed": {"spread": (2, 2), "padding": ((2, 1), (1, 2))},
}
SIZE = (5, 6)


def parameters(groups=1, **_):
    return drawn(3, 2, 4 // groups, 4, seed=1), drawn(4, seed=2)


def convolve(x, kernel, layout="NHWC", **how):
    numbers = (layout, "HWIO" if layout == "NHWC" else "OIHW", layout)
    return jax.lax.conv_general_dilated(
        x,
        jnp.asarray(kernel if layout == "NHWC" else kernel.transpose(3, 2, 0, 1)),
        how.get("stride", (1, 1)),
        how.get("padding", "VALID"),
        lhs_dilation=how.get("spread", (1, 1)),
        rhs_dilation=how.get("dilation", (1, 1)),
        feature_group_count=how.get("groups", 1),
        dimension_numbers=numbers,
    )


@pytest.mark.parametrize(
    "name", slow_but(CONVOLUTIONS, ["strides", "dilation", "groups"])
)
def test_convolutions(name):
    how = CONVOLUTIONS[name]
    kernel, bias = parameters(**how)
    layer = oracle.convolution(kernel, bias, SIZE, **how)
    rules = FEW if name in ("dilation", "depthwise") else tuple(RULES)
    images = drawn(2, *SIZE, 4)
    assert_restated(
        lambda x: convolve(x, kernel, **how) + bias, layer, images, rules=rules
    )


def test_channels_first():
    how = CONVOLUTIONS["groups"]
    kernel, bias = parameters(**how)
    layer = oracle.convolution(kernel, bias, SIZE, **how)

    def model(x):
        return convolve(x, kernel, "NCHW", **how) + bias[:, None, None]

    assert_restated(model, layer, drawn(2, *SIZE, 4), order=(0, 3, 1, 2), rules=FEW)


def test_zeros_put_around_before():
    how = CONVOLUTIONS["strides"]
    kernel, bias = parameters(**how)
    layer = oracle.convolution(kernel, bias, SIZE, **how)

    def model(x):
        x = jnp.pad(x, ((0, 0), *how["padding"], (0, 0)))
        return convolve(x, kernel, stride=how["stride"]) + bias

    assert_restated(model, layer, drawn(2, *SIZE, 4), rules=FEW)


@pytest.mark.slow
def test_convolutions_without_bias():
    kernel, _ = parameters()
    layer = oracle.convolution(kernel, np.zeros(4), SIZE)
    assert_restated(lambda x: convolve(x, kernel), layer, drawn(2, *SIZE, 4), rules=FEW)


MEAN, VAR = drawn(4, seed=3), np.array([0.5, 1.5, 2.5, 0.1])
SCALE, SHIFT = np.array([1.5, -2.0, 0.5, -0.3]), drawn(4, seed=4)
NORMS = {
    "as written": lambda y: (y - MEAN) / np.sqrt(VAR + 1e-3) * SCALE + SHIFT,
    "one factor": lambda y: (
        y * (SCALE / np.sqrt(VAR + 1e-3)) + (SHIFT - MEAN * SCALE / np.sqrt(VAR + 1e-3))
    ),
    "turned around": lambda y: (
        SHIFT - (MEAN - y) * SCALE * jax.lax.rsqrt(jnp.asarray(VAR) + 1e-3)
    ),
}


@pytest.mark.parametrize("name", slow_but(NORMS, ["as written"]))
def test_batch_norm_is_part_of_the_layer(name):
    kernel, bias = parameters()
    factor = SCALE / np.sqrt(VAR + 1e-3)
    layer = oracle.convolution(kernel * factor, (bias - MEAN) * factor + SHIFT, SIZE)
    rules = tuple(RULES) if name == "as written" else FEW

    def model(x):
        return NORMS[name](convolve(x, kernel) + bias)

    assert_restated(model, layer, drawn(2, *SIZE, 4), rules=rules)


def first_channel(outputs, targets):
    del targets
    return outputs[..., 0].sum((1, 2))


def test_pixels_between_bounds_are_read_as_the_layer_reads_them():
    """The bounds are those of the images, wherever they are normalized."""
    kernel, bias = parameters()
    mean, stddev = np.array([0.4, 0.5, 0.6, 0.3]), np.array([0.2, 0.3, 0.25, -0.4])
    images = np.random.default_rng(0).uniform(size=(1, *SIZE, 4))
    layer = oracle.convolution(kernel, bias, SIZE)

    def model(x):
        return convolve((x - mean) / stddev, kernel) + bias

    box = partial(relevance.z_box, low=0.0, high=1.0)
    composite = Composite(((LAYERS, box), (KEPT, relevance.keep)))
    maps = relevance.lrp(
        model,
        jnp.asarray(images),
        jnp.array([0]),
        composite=composite,
        score=first_channel,
    )
    normalized = ((images[0] - mean) / stddev).ravel()
    starts = layer.output(normalized).reshape(-1, 4) * [1, 0, 0, 0]
    ends = np.stack([(0 - mean) / stddev, (1 - mean) / stddev])
    expected = oracle.z_box(
        layer,
        normalized,
        starts.ravel(),
        low=np.tile(ends.min(0), SIZE[0] * SIZE[1]),
        high=np.tile(ends.max(0), SIZE[0] * SIZE[1]),
    )
    np.testing.assert_allclose(maps[0].ravel(), expected, rtol=1e-8)


# One output of three inputs: products 3, -4, -1 with a bias of 4; the output is 2.
INPUT, COLUMN, OFFSET = [3.0, 2.0, -1.0], [[1.0], [-2.0], [1.0]], 4.0


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (relevance.proportional, [3, -4, -1]),
        (relevance.z_plus, [6 / 7, 0, 0]),
        (relevance.alpha_beta, [12 / 7, -8 / 5, -2 / 5]),
        (partial(relevance.alpha_beta, alpha=1.0, beta=0.0), [6 / 7, 0, 0]),
        # 3 + 3 and 4 + 4 count twice: 6 - 4 - 1 + 8 = 9.
        (partial(relevance.gamma, gamma=1.0), [12 / 9, -8 / 9, -2 / 9]),
        (relevance.flat, [2 / 3, 2 / 3, 2 / 3]),
        (relevance.w_square, [2 / 6, 8 / 6, 2 / 6]),
        # 3 + 2, -4 + 6 and -1 + 2 with weights' signs: 8 in all.
        (partial(relevance.z_box, low=-2.0, high=3.0), [10 / 8, 4 / 8, 2 / 8]),
    ],
)
def test_by_hand(rule, expected):
    def model(x):
        return x @ jnp.array(COLUMN) + OFFSET

    maps = relevance.lrp(
        model,
        jnp.array([INPUT]),
        jnp.array([0]),
        composite=Composite(((LAYERS, rule),)),
    )
    np.testing.assert_allclose(maps[0], expected, rtol=1e-5)


@pytest.mark.parametrize("rule", [relevance.flat, relevance.z_plus])
def test_rules_of_layers_refuse_what_is_none(rule):
    composite = Composite(((Where(), rule),))
    with pytest.raises(ValueError, match=r"'relu:0' is a 'relu'.*`conv` and `dense`"):
        relevance.lrp(
            jax.nn.relu, jnp.ones((1, 3)), jnp.array([0]), composite=composite
        )


def test_z_box_is_for_the_first_layer():
    def model(x):
        return jax.nn.relu(x @ jnp.ones((3, 4))) @ jnp.ones((4, 2))

    composite = Composite(((LAYERS, relevance.z_box), (KEPT, relevance.keep)))
    with pytest.raises(ValueError, match=r"`z_box`.*'dot:1'"):
        relevance.lrp(model, jnp.ones((1, 3)), jnp.array([0]), composite=composite)
