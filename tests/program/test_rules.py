"""Models with rules: their outputs, where rules go, and what has none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xattr
from tests.networks import images, tiny_convnet
from xattr import relevance
from xattr.program import Composite, Where, replace_rules

COMPOSITES = {
    "epsilon": relevance.epsilon(),
    "epsilon plus flat": relevance.epsilon_plus_flat(),
    "alpha-beta": relevance.epsilon_alpha2_beta1(),
    "gamma box": relevance.epsilon_gamma_box(low=-4, high=4),
}


def resnet(params, x):
    """Batch norm, a residual, pooling, a gate, attention over positions."""
    first, second, query, scale, head = params
    x = jax.nn.relu(convolve(x, first) * scale + scale)
    x = jax.nn.relu(x + convolve(jax.nn.gelu(convolve(x, second)), second))
    x = x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True) @ query)
    x = jax.lax.reduce_window(
        x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    )
    x = x.reshape(len(x), -1, x.shape[-1])
    weights = jax.nn.softmax(jnp.einsum("ntc,nsc->nts", x @ query, x))
    return (x + weights @ x).mean(1) @ head


def convolve(x, kernel):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers
    )


def parameters(dtype=jnp.float32):
    draw = np.random.default_rng(0).normal
    sizes = (3, 3, 3, 4), (3, 3, 4, 4), (4, 4), (1, 1, 1, 4), (4, 5)
    return [jnp.asarray(draw(size=s) / np.sqrt(np.prod(s[:-1])), dtype) for s in sizes]


@pytest.mark.parametrize(
    ("make", "composites"),
    [
        (lambda: tiny_convnet(jax.random.key(0)), ["alpha-beta", "gamma box"]),
        (lambda: xattr.Model(resnet, parameters()), ["epsilon"]),
    ],
    ids=["convolutions", "everything"],
)
def test_jitted_and_not_differentiated_all_bits_are_the_models(make, composites):
    model = make()
    expected = jax.jit(model)(images(3))
    for name in composites:
        outputs = jax.jit(replace_rules(model, COMPOSITES[name]))(images(3))
        np.testing.assert_array_equal(outputs, expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: tiny_convnet(jax.random.key(0), dtype=dtype),
        pytest.param(
            lambda dtype: xattr.Model(resnet, parameters(dtype)), marks=pytest.mark.slow
        ),
    ],
    ids=["convolutions", "everything"],
)
def test_differentiated_it_is_no_further_off(make):
    """What a derivative keeps may change how the compiler adds up, in both alike."""
    x = np.asarray(images(16))

    def forward(model):
        def run(x):
            outputs, pull_back = jax.vjp(model, x)
            return outputs, pull_back(outputs)

        return np.asarray(jax.jit(run)(x)[0], np.float64)

    model = make(jnp.float32)
    ruled = replace_rules(model, COMPOSITES["epsilon"])
    outputs = forward(ruled), forward(model)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda w: np.asarray(w, np.float64), model)
        exact = np.asarray(wide(jnp.asarray(x, jnp.float64)))
    found, allowed = (np.abs(each - exact).max() for each in outputs)
    assert found <= allowed + 1e-7 * np.abs(exact).max()


def double(operation, inputs, output, relevance):
    """A rule of one's own."""
    del operation, output
    return tuple(2 * relevance for _ in inputs)


def test_a_rule_of_ones_own():
    composite = Composite(((Where(("relu",)), double),), flow="gradient")
    ruled = replace_rules(lambda x: 3 * jax.nn.relu(x), composite)
    outputs, pull_back = jax.vjp(ruled, jnp.array([[-1.0, 2.0]]))
    np.testing.assert_array_equal(outputs, [[0, 6]])
    np.testing.assert_array_equal(pull_back(jnp.ones((1, 2)))[0], [[6, 6]])


def test_a_rule_sees_its_operation():
    seen, errors = [], []

    def look(operation, inputs, output, relevance):
        seen.append(operation)
        errors.append(operation.run(*inputs) - output)
        if operation.layer is not None:
            layer = operation.layer
            again = layer.linear(inputs[0], layer.weights) + layer.bias
            errors.append(again - output)
        return jax.vjp(operation.run, *inputs)[1](relevance)

    model = tiny_convnet(jax.random.key(0))
    ruled = replace_rules(model, Composite(((Where(), look),), flow="gradient"))

    @jax.jit
    def run(x):
        maps = [(lambda y, back: back(y))(*jax.vjp(f, x))[0] for f in (ruled, model)]
        return maps, [jnp.abs(error).max() for error in errors]

    (gradient, expected), off = run(images(2))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(off, 0, atol=1e-5)
    found = [(o.kind, o.name, o.nonnegative) for o in seen[::-1]]
    assert found == [
        ("conv", "add:0", False),
        ("relu", "relu:0", False),
        ("conv", "add:1", True),
        ("relu", "relu:1", False),
        ("pool", "sum:0", True),
        ("affine", "div:0", True),
        ("dense", "add:2", True),
    ]
    assert [o.from_images is not None for o in seen[::-1]] == [True, *[False] * 6]


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        (jax.nn.relu, True),
        (lambda x: 2 * jax.nn.relu6(x) + jax.nn.relu(x), True),
        (lambda x: jnp.pad(jax.nn.relu(x).max(1), ((0, 0), (1, 2))), True),
        (lambda x: jax.nn.softmax(x).sum(1), True),
        (lambda x: jnp.concatenate([jax.nn.relu(x), -jnp.ones_like(x)], 2), False),
        (lambda x: jnp.where(jnp.arange(3) > 1, jax.nn.relu(x), -1.0), False),
        (lambda x: jnp.pad(jax.nn.relu(x), ((0, 0),) * 3, constant_values=-1.0), False),
        (lambda x: jax.nn.relu(x) - jax.nn.relu(-x), False),
        (lambda x: -jax.nn.relu(x), False),
        (lambda x: jax.nn.relu(x) - 0.1, False),
        (lambda x: x / (1 + jnp.exp(-x.mean(2, keepdims=True))), False),
        (jax.nn.gelu, False),
        (jax.nn.standardize, False),
        (lambda x: x, False),
    ],
)
def test_signs_are_known_only_where_they_are(below, expected):
    seen = []

    def look(operation, inputs, output, relevance):
        seen.append(operation.nonnegative)
        return jax.vjp(operation.run, *inputs)[1](relevance)

    def model(x):
        x = below(x)
        return x @ jnp.ones((x.shape[-1], 2))

    composite = Composite(((Where(("dense",)), look),), flow="gradient")
    ruled = replace_rules(model, composite)
    x = jax.ShapeDtypeStruct((2, 3, 3), jnp.float32)
    with jax.numpy_rank_promotion("allow"):
        jax.eval_shape(lambda x: (lambda y, back: back(y))(*jax.vjp(ruled, x)), x)
    assert seen == [expected]


def names(where, model, x):
    """What is at a place."""
    seen = []

    def note(operation, inputs, output, relevance):
        seen.append(operation.name)
        return jax.vjp(operation.run, *inputs)[1](relevance)

    ruled = replace_rules(model, Composite(((where, note),), flow="gradient"))
    jax.eval_shape(lambda x: (lambda y, back: back(y))(*jax.vjp(ruled, x)), x)
    return seen[::-1]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Where(("relu",)), ["relu:0", "relu:1"]),
        (Where(("conv", "dense"), first=True), ["add:0"]),
        (Where(("conv", "dense"), last=True), ["add:2"]),
        (Where(("conv", "dense"), first=False, last=False), ["add:1"]),
        (Where(first=True), ["add:0"]),
        (Where(last=True), ["add:2"]),
        (Where(before="relu:0"), ["add:0", "relu:0"]),
        (Where(after="relu:1"), ["sum:0", "div:0", "add:2"]),
        (Where(("relu",), before="add:1"), ["relu:0"]),
        (Where(after="relu:0", before="add:1"), ["add:1"]),
        (Where(("softmax",)), []),
    ],
)
def test_places(where, expected):
    model, x = tiny_convnet(jax.random.key(0)), images(1)
    assert names(where, model, x) == expected


class Block(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 3, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(x + self.norm(self.conv(x)))


class Net(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.blocks = nnx.List([Block(rngs), Block(rngs)])

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_modules_are_places():
    model, x = xattr.from_nnx(Net()), images(1)
    assert names(Where(path="blocks/1/conv"), model, x) == ["blocks/1/norm/add:0"]
    assert names(Where(path="blocks/0"), model, x) == [
        "blocks/0/norm/add:0",
        "blocks/0/add:0",
        "blocks/0/relu:0",
    ]
    assert names(Where(("conv",), path="blocks"), model, x) == [
        "blocks/0/norm/add:0",
        "blocks/1/norm/add:0",
    ]


def test_places_that_are_none():
    model, x = tiny_convnet(jax.random.key(0)), images(1)
    for where in (Where(before="rleu:0"), Where(after="rleu:0")):
        composite = Composite(((where, relevance.keep),))
        with pytest.raises(ValueError, match=r"'rleu:0' is not a site.*'relu:0'"):
            replace_rules(model, composite)(x)
    composite = Composite(((Where(path="layre1"), relevance.keep),))
    with pytest.raises(ValueError, match=r"`path`='layre1' is no module"):
        replace_rules(model, composite)(x)


def test_the_first_place_that_fits_counts():
    model, x = jax.nn.relu, jnp.array([[3.0]])
    rules = ((Where(("relu",)), double), (Where(), relevance.keep))
    found = jax.vjp(replace_rules(model, Composite(rules)), x)[1](x)[0]
    np.testing.assert_array_equal(found, [[6.0]])
    found = jax.vjp(replace_rules(model, Composite(rules[::-1])), x)[1](x)[0]
    np.testing.assert_array_equal(found, [[3.0]])


def test_no_rule_is_jaxs_own_derivative():
    rules = ((Where(("activation",)), None), (Where(), relevance.proportional))
    ruled = replace_rules(lambda x: jnp.tanh(x) * 2, Composite(rules))
    found = jax.vjp(ruled, jnp.array([[0.5]]))[1](jnp.array([[1.0]]))[0]
    np.testing.assert_allclose(found, 1 - np.tanh(0.5) ** 2, rtol=1e-5)


def test_an_operation_without_a_rule_is_named():
    def model(x):
        return jnp.sort(jax.nn.relu(x), -1)

    with pytest.raises(
        ValueError, match=r"'sort:0'.*no rule.*`composite._replace\(rules="
    ):
        relevance.lrp(model, jnp.ones((1, 3)), jnp.array([0]))
    given = relevance.epsilon_plus()
    rule = Where(("unknown",)), relevance.proportional
    given = given._replace(rules=(rule, *given.rules))
    maps = relevance.lrp(
        model, jnp.array([[3.0, -1.0, 2.0]]), jnp.array([1]), composite=given
    )
    np.testing.assert_allclose(maps, [[0, 0, 2]], rtol=1e-5)


def shares(x):
    parts = jnp.exp(x)
    return parts / parts.sum(1, keepdims=True)


@pytest.mark.parametrize("end", [jax.nn.softmax, jax.nn.log_softmax, shares])
@pytest.mark.parametrize("composite", ["epsilon", "alpha-beta"])
def test_probabilities_at_the_end_are_refused(end, composite):
    model = tiny_convnet(jax.random.key(0))
    with pytest.raises(ValueError, match=r"ends in a softmax.*logits, 'add:2'"):
        relevance.lrp(
            lambda x: end(model(x)), images(1), composite=COMPOSITES[composite]
        )


def test_what_is_frozen_is_a_constant():
    def gated(x):
        return x * jax.nn.sigmoid(x[:, ::-1])

    composite = relevance.epsilon()._replace(frozen=("logistic",))
    x = jnp.array([[3.0, -1.0]])
    found = relevance.lrp(gated, x, jnp.array([0]), composite=composite)
    np.testing.assert_allclose(found, [[3 * jax.nn.sigmoid(-1.0), 0]], rtol=1e-5)


def test_outputs_of_any_tree():
    def model(x):
        logits = x @ jnp.array([[1.0], [2.0]])
        return {"logits": logits, "image": x, "place": logits.argmax(-1), "none": None}

    def score(outputs, targets):
        del targets
        return outputs["logits"][:, 0]

    x = jnp.array([[3.0, 1.0]])
    found = relevance.lrp(model, x, jnp.array([0]), score=score)
    np.testing.assert_allclose(found, [[3, 2]], rtol=1e-5)
    np.testing.assert_array_equal(
        relevance.guided_backprop(model, x, jnp.array([0]), score=score), [[1, 2]]
    )


def test_images_returned_as_they_are():
    def score(outputs, targets):
        return outputs[jnp.arange(len(targets)), targets]

    x = jnp.array([[3.0, 1.0]])
    found = relevance.lrp(lambda x: x, x, jnp.array([1]), score=score)
    np.testing.assert_array_equal(found, [[0, 1]])
