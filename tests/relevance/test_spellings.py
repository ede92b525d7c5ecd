"""One network in five libraries, and one function in many words: the same maps."""

import functools

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xattr
from xattr import relevance
from xattr.program import Where

DRAW = np.random.default_rng(0).normal
WEIGHTS = {
    "first": (DRAW(size=(3, 3, 3, 4)) / 4, DRAW(size=4) / 3),
    "second": (DRAW(size=(3, 3, 4, 4)) / 4, DRAW(size=4) / 3),
    "head": (DRAW(size=(4, 5)), DRAW(size=5) / 3),
}
NORM = {"scale": [1.5, -0.5, 1, 2], "bias": DRAW(size=4) / 3, "mean": DRAW(size=4)}
VAR, EPSILON = np.array([0.5, 1.5, 1.0, 2.0]), 1e-3
IMAGES = DRAW(size=(2, 8, 8, 3)).astype(np.float32)
TARGETS = np.array([1, 3])


class NNX(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, epsilon=EPSILON, rngs=rngs)
        self.second = nnx.Conv(4, 4, (3, 3), rngs=rngs)
        self.head = nnx.Linear(4, 5, rngs=rngs)
        for name, (kernel, bias) in WEIGHTS.items():
            layer = getattr(self, name)
            layer.kernel[...] = jnp.asarray(kernel, jnp.float32)
            layer.bias[...] = jnp.asarray(bias, jnp.float32)
        for name, value in (*NORM.items(), ("var", VAR)):
            getattr(self.norm, name)[...] = jnp.asarray(value, jnp.float32)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.first(x)))
        x = nnx.relu(x + self.second(x))
        x = nnx.max_pool(x, (2, 2), (2, 2))
        return self.head(x.mean((1, 2)))


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (3, 3), name="first")(x)
        x = nn.BatchNorm(use_running_average=True, epsilon=EPSILON, name="norm")(x)
        x = nn.relu(x)
        x = nn.relu(x + nn.Conv(4, (3, 3), name="second")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.Dense(5, name="head")(jnp.mean(x, (1, 2)))


def linen():
    layers = {name: {"kernel": w, "bias": b} for name, (w, b) in WEIGHTS.items()}
    layers["norm"] = {"scale": NORM["scale"], "bias": NORM["bias"]}
    statistics = {"norm": {"mean": NORM["mean"], "var": VAR}}
    variables = {"params": layers, "batch_stats": statistics}
    as_arrays = jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32),
        variables,
        is_leaf=lambda x: isinstance(x, list),
    )
    return xattr.from_linen(Linen(), as_arrays)


class Equinox(eqx.Module):
    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    pool: eqx.nn.MaxPool2d
    head: eqx.nn.Linear
    norm: dict

    def __call__(self, x):
        wide = {k: v[:, None, None] for k, v in self.norm.items()}
        x = (self.first(x) - wide["mean"]) / jnp.sqrt(wide["var"] + EPSILON)
        x = jax.nn.relu(x * wide["scale"] + wide["bias"])
        x = jax.nn.relu(x + self.second(x))
        return self.head(self.pool(x).mean((1, 2)))


def per_image(module, x):
    return jax.vmap(module)(x.transpose(0, 3, 1, 2))


def equinox():
    key = jax.random.key(0)
    module = Equinox(
        eqx.nn.Conv2d(3, 4, 3, padding=1, key=key),
        eqx.nn.Conv2d(4, 4, 3, padding=1, key=key),
        eqx.nn.MaxPool2d(2, 2),
        eqx.nn.Linear(4, 5, key=key),
        {k: jnp.asarray(v, jnp.float32) for k, v in {**NORM, "var": VAR}.items()},
    )

    def leaves(module):
        return [
            part
            for name in WEIGHTS
            for part in (getattr(module, name).weight, getattr(module, name).bias)
        ]

    values = []
    for kernel, bias in WEIGHTS.values():
        is_conv = kernel.ndim == 4
        values.append(kernel.transpose(3, 2, 0, 1) if is_conv else kernel.T)
        values.append(bias[:, None, None] if is_conv else bias)
    values = [jnp.asarray(v, jnp.float32) for v in values]
    return xattr.from_function(per_image, eqx.tree_at(leaves, module, values))


def keras():
    layers = pytest.importorskip("keras").layers
    inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    x = layers.BatchNormalization(epsilon=EPSILON, name="norm")(x)
    x = layers.ReLU()(x)
    x = layers.ReLU()(x + layers.Conv2D(4, 3, padding="same", name="second")(x))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2)(x))
    network = pytest.importorskip("keras").Model(
        inputs, layers.Dense(5, name="head")(x)
    )
    for name, weights in WEIGHTS.items():
        network.get_layer(name).set_weights(weights)
    norm = [NORM["scale"], NORM["bias"], NORM["mean"], VAR]
    network.get_layer("norm").set_weights([np.asarray(v) for v in norm])
    params = (
        [v.value for v in network.trainable_variables],
        [v.value for v in network.non_trainable_variables],
    )

    def apply(params, x):
        return network.stateless_call(*params, x)[0]

    return xattr.from_function(apply, params)


def plain(params, x):
    weights, norm = params
    rectify = jax.nn.relu
    x = convolve(x, *weights["first"]) - norm["mean"]
    x = rectify(x * (norm["scale"] / jnp.sqrt(norm["var"] + EPSILON)) + norm["bias"])
    x = rectify(x + convolve(x, *weights["second"]))
    window = (1, 2, 2, 1)
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
    return x.mean((1, 2)) @ weights["head"][0] + weights["head"][1]


def convolve(x, kernel, bias):
    numbers = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers
    )
    return y + bias


def functions():
    params = WEIGHTS, {k: np.asarray(v) for k, v in {**NORM, "var": VAR}.items()}
    return xattr.Model(
        plain, jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
    )


LIBRARIES = {
    "nnx": lambda: xattr.from_nnx(NNX()),
    "linen": linen,
    "equinox": equinox,
    "keras": keras,
}
METHODS = {
    "plus flat": (relevance.lrp, {"composite": relevance.epsilon_plus_flat()}),
    "gamma box": (
        relevance.lrp,
        {"composite": relevance.epsilon_gamma_box(low=-4, high=4)},
    ),
    "guided backprop": (relevance.guided_backprop, {}),
    "deconvnet": (relevance.deconvnet, {}),
    "deeplift": (relevance.deeplift, {}),
}


@pytest.fixture(autouse=True)
def any_rank(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with jax.numpy_rank_promotion("allow"):
        yield


def maps_of(model, methods):
    """Outputs and maps, by methods in one program."""

    def run(x):
        targets = jnp.asarray(TARGETS)
        chosen = {name: METHODS[name] for name in methods}
        return model(x), {
            name: method(model, x, targets, **how)
            for name, (method, how) in chosen.items()
        }

    return jax.jit(run)(IMAGES)


@functools.cache
def of_functions(methods):
    with jax.numpy_rank_promotion("allow"):
        return maps_of(functions(), methods)


FEW = ("gamma box",)


@pytest.mark.parametrize("library", ["nnx", "linen", "equinox"])
def test_libraries(library):
    found = maps_of(LIBRARIES[library](), FEW)
    jax.tree.map(close, found, of_functions(FEW))


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_by_all_methods(library):
    found = maps_of(LIBRARIES[library](), tuple(METHODS))
    jax.tree.map(close, found, of_functions(tuple(METHODS)))


def close(found, expected):
    size = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * size)


RECTIFIERS = {
    "maximum": lambda x: jnp.maximum(x, 0),
    "product": lambda x: x * (x > 0),
    "choice": lambda x: jnp.where(x > 0, x, 0),
    "clip": lambda x: jnp.clip(x, 0),
    "rematerialized": jax.checkpoint(jax.nn.relu),
}


def rectified(rectify):
    kernel, bias = WEIGHTS["first"]
    square = jnp.asarray(WEIGHTS["head"][0], jnp.float32)

    def model(x):
        x = rectify(convolve(x, jnp.asarray(kernel, x.dtype), bias.astype(x.dtype)))
        return rectify(x @ square - 0.1).mean((1, 2))

    return model


def test_rectifiers():
    def run(x):
        targets = jnp.asarray(TARGETS)
        return [
            relevance.deconvnet(rectified(function), x, targets)
            for function in (jax.nn.relu, *RECTIFIERS.values())
        ]

    expected, *found = jax.jit(run)(IMAGES)
    for maps in found:
        close(maps, expected)


def test_a_rectifier_with_a_ceiling():
    """Below it, it is a ReLU; above, relevance is kept and no gradient passes."""
    x = jnp.array([[3.0, -1.0, 8.0]])

    def model(x):
        return jax.nn.relu6(x) @ jnp.array([[1.0], [1.0], [1.0]])

    target = jnp.array([0])
    found = relevance.lrp(model, x, target, composite=relevance.epsilon())
    np.testing.assert_allclose(found, [[3, 0, 6]], rtol=1e-5)
    np.testing.assert_array_equal(
        relevance.guided_backprop(model, x, target), [[1, 0, 0]]
    )
    np.testing.assert_array_equal(relevance.deconvnet(model, x, target), [[1, 1, 1]])


W, V = (jnp.asarray(DRAW(size=(6, 6)) / 2, jnp.float32) for _ in range(2))
HEAD = jnp.asarray(DRAW(size=(72, 5)) / 2, jnp.float32)
# Pairs of functions of `n 6`, the same in other words.
PAIRS = {
    "einsum": (lambda x: x @ W, lambda x: jnp.einsum("ij,ni->nj", W, x)),
    "weights of weights": (
        lambda x: x @ ((W - W.mean(0)) / W.std(0)),
        lambda x: x @ jnp.asarray((np.asarray(W) - np.mean(W, 0)) / np.std(W, 0)),
    ),
    "bias within": (
        lambda x: jnp.pad(x, ((0, 0), (0, 1))) @ jnp.pad(W, ((0, 1), (0, 0))),
        lambda x: x @ W,
    ),
    "difference": (lambda x: 1 - x @ W, lambda x: x @ -W + 1),
    "temperature": (lambda x: (x @ W) / 2.5, lambda x: x @ (W / 2.5)),
    "learnt factor": (lambda x: jnp.asarray(0.3) * (x @ W), lambda x: x @ (0.3 * W)),
    "residual": (
        lambda x: x + jax.nn.relu(x @ W),
        lambda x: jnp.add(jax.nn.relu(jnp.matmul(x, W)), x),
    ),
    "added to itself": (lambda x: x + x, lambda x: 2 * x),
    "square": (lambda x: x * x, lambda x: x**2),
    "mean": (
        lambda x: jnp.repeat(x.reshape(-1, 2, 3).mean(1), 2, 1),
        lambda x: jnp.repeat(x.reshape(-1, 2, 3).sum(1) / 2, 2, 1),
    ),
    "choice of channels": (
        lambda x: jnp.take(x, jnp.array([2, 0, 0, 1, 5, 4]), axis=1),
        lambda x: jnp.stack([x[:, k] for k in (2, 0, 0, 1, 5, 4)], 1),
    ),
    "a layer used twice": (
        lambda x: shared(shared(x)),
        lambda x: jax.nn.relu(jax.nn.relu(x @ V) @ V),
    ),
    "layer norm": (
        lambda x: jax.nn.standardize(x, axis=-1),
        lambda x: (x - x.mean(1, keepdims=True)) / jnp.sqrt(x.var(1) + 1e-5)[:, None],
    ),
    "softmax": (
        lambda x: x * jax.nn.softmax(x @ W),
        lambda x: x * ((y := jnp.exp(x @ W)) / y.sum(1, keepdims=True)),
    ),
    "in groups": (
        lambda x: jnp.einsum(
            "ngi,gij->ngj", x.reshape(-1, 2, 3), W[:, :3].reshape(2, 3, 3)
        ),
        lambda x: jnp.stack([x[:, :3] @ W[:3, :3], x[:, 3:] @ W[3:, :3]], 1),
    ),
    "silu": (jax.nn.silu, lambda x: x / (1 + jnp.exp(-x))),
}


# Of all rules the one that depends on all: weights, biases, and signs.
EPSILON_RULES = relevance.epsilon()
GAMMA = EPSILON_RULES._replace(
    rules=((Where(("conv", "dense")), relevance.gamma), *EPSILON_RULES.rules)
)


def shared(x):
    return jax.nn.relu(x @ V)


QUICK = ("difference", "choice of channels")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in PAIRS
    ],
)
def test_the_same_in_other_words(name):
    x = jnp.asarray(DRAW(size=(2, 6)), jnp.float32)

    def model(function):
        def call(x):
            y = jax.nn.relu(function(jax.nn.relu(x @ V)).reshape(len(x), -1))
            return y @ HEAD[: y.shape[1]]

        return call

    @jax.jit
    def run(x):
        targets = jnp.array([1, 2])
        return [
            relevance.lrp(model(function), x, targets, composite=GAMMA)
            for function in PAIRS[name]
        ]

    found, wanted = run(x)
    close(found, wanted)
    assert np.abs(wanted).max() > 1e-3
