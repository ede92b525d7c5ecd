"""What relevance sums to, and what biases take in."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import transformers
from tests.apart import apart, slow_but
from tests.networks import images, tiny_convnet
from tests.oracles import relevance_rules as oracle
from xattr import relevance
from xattr.program import Where, replace_rules, ruled

RULES = {
    "epsilon": relevance.proportional,
    "z-plus": relevance.z_plus,
    "gamma": relevance.gamma,
    "flat": relevance.flat,
    "w-square": relevance.w_square,
    "z-box": relevance.gamma,
}


def composite(name):
    """A rule for convolutions; z-box for the first, and another above it."""
    how = relevance.epsilon()
    rules = [(Where(("conv",)), RULES[name])]
    if name == "z-box":
        box = partial(relevance.z_box, low=-5.0, high=5.0)
        rules.insert(0, (Where(("conv",), first=True), box))
    return how._replace(rules=(*rules, *how.rules))


def branches(params, x):
    """Residuals, both kinds of pooling, and what is put side by side."""
    first, second, head = params
    x = jax.nn.relu(convolve(x, first))
    x = jax.nn.relu(x + convolve(jax.nn.relu(convolve(x, second)), second))
    window = (1, 2, 2, 1)
    largest = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
    means = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, window, "VALID") / 4
    return jnp.concatenate([largest, means], -1).mean((1, 2)) @ head


def convolve(x, kernel, stride=1):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=numbers
    )


def branching():
    draw = np.random.default_rng(0).normal
    sizes = (3, 3, 3, 4), (3, 3, 4, 4), (8, 5)
    params = [draw(size=s) / np.sqrt(np.prod(s[:-1])) for s in sizes]
    return xattr.Model(branches, [jnp.asarray(p, jnp.float32) for p in params])


NETWORKS = {
    "one after the other": lambda: tiny_convnet(jax.random.key(0), bias=False),
    "branches": branching,
}


@pytest.mark.parametrize(
    "network",
    ["branches", apart("one after the other")],
)
def test_without_biases_the_sum_is_the_logit(network):
    model, x, targets = NETWORKS[network](), images(4), jnp.array([0, 1, 2, 3])
    logits = model(x)[np.arange(4), targets]

    @jax.jit
    def run(model, x):
        maps = partial(relevance.lrp, model, x, targets)
        return {name: maps(composite=composite(name)).sum((1, 2, 3)) for name in RULES}

    for name, sums in run(model, x).items():
        np.testing.assert_allclose(sums, logits, rtol=1e-4, atol=1e-5, err_msg=name)


def three_layers(params, x):
    for kernel, bias, stride in zip(*params[:2], (1, 2, 1), strict=True):
        x = jax.nn.relu(convolve(x, kernel, stride) + bias[None, None, None])
    return x.reshape(len(x), -1) @ params[2] + params[3][None]


def shares_of_biases(params, x, target, rule):
    """The map, and of each layer what its bias takes in, by matrices."""
    kernels, biases, head, head_bias = params
    same, low = ((1, 1), (1, 1)), ((0, 1), (0, 1))
    layers = [
        oracle.convolution(kernels[0], biases[0], (6, 6), padding=same),
        oracle.convolution(kernels[1], biases[1], (6, 6), (2, 2), padding=low),
        oracle.convolution(kernels[2], biases[2], (3, 3), padding=same),
        oracle.dense(head, head_bias),
    ]
    read = [x.ravel()]
    for layer in layers:
        read.append(np.maximum(layer.output(read[-1]), 0))
    logits = layers[-1].output(read[-2])
    passed = np.where(np.arange(len(logits)) == target, logits, 0)
    taken = []
    for layer, inputs in zip(layers[::-1], read[-2::-1], strict=True):
        epsilon = rule == "epsilon" or layer is layers[-1]
        products = inputs[:, None] * layer.matrix
        counted, bias = products, layer.bias
        if not epsilon:
            counted, bias = np.maximum(products, 0), np.maximum(layer.bias, 0)
        totals = counted.sum(0) + bias
        # What no relevance comes to may have a total of zero.
        totals = np.where(passed == 0, 1, totals)
        taken.append((passed * bias / totals).sum())
        passed = counted @ (passed / totals)
    return passed.reshape(x.shape), taken[::-1]


@pytest.mark.parametrize("rule", ["z-plus", apart("epsilon")])
def test_biases_take_in_their_share(rule):
    draw = np.random.default_rng(3).normal
    kernels = [draw(size=(3, 3, i, o)) / 5 for i, o in ((2, 4), (4, 5), (5, 3))]
    biases = [draw(size=k.shape[-1]) / 3 for k in kernels]
    params = kernels, biases, draw(size=(27, 4)) / 5, draw(size=4)
    x, targets = draw(size=(2, 6, 6, 2)), np.array([1, 3])
    chosen = relevance.epsilon() if rule == "epsilon" else relevance.epsilon_plus()
    with jax.enable_x64(True):
        model = xattr.Model(three_layers, jax.tree.map(jnp.asarray, params))
        given = model, jnp.asarray(x), jnp.asarray(targets)
        maps = relevance.lrp(*given, composite=chosen)
        ledger = relevance.absorbed(*given, composite=chosen)
        logits = model(given[1])
        maps, ledger, logits = jax.tree.map(np.asarray, (maps, ledger, logits))
    layers = [ledger.pop(f"add:{k}") for k in range(4)]
    for n, target in enumerate(targets):
        passed, taken = shares_of_biases(params, x[n], target, rule)
        np.testing.assert_allclose(maps[n], passed, rtol=1e-3, atol=1e-5)
        found = [entries[n] for entries in layers]
        np.testing.assert_allclose(found, taken, rtol=1e-3, atol=1e-5)
        assert np.abs(taken).min() > 1e-3
        total = maps[n].sum() + sum(found)
        np.testing.assert_allclose(total, logits[n, target], rtol=1e-4)
    # Nothing but the layers takes in anything.
    for name, entries in ledger.items():
        np.testing.assert_allclose(entries, 0, atol=1e-4, err_msg=name)


SIZES = {
    "cifar10_resnet20": 32,
    "mobilenet_v2_torchvision": 64,
    "squeezenet1_1": 64,
    "resnet18": 64,
    "resnet50": 64,
    "vgg11_bn": 64,
    "vgg16": 64,
}
COMPOSITES = {
    "epsilon": relevance.epsilon(),
    "plus": relevance.epsilon_plus(),
    "alpha-beta flat": relevance.epsilon_alpha2_beta1_flat(),
    "gamma box": relevance.epsilon_gamma_box(),
}


def untrained(name, biases):
    """A network whose biases, and means like them, are something, or nothing."""
    random = np.random.default_rng(0)

    def changed(path, x):
        added = any(str(getattr(k, "key", k)) in ("bias", "mean") for k in path)
        if x.ndim != 1 or not (biases or added):
            return x
        noise = random.uniform(0.1, 0.4, x.shape).astype(x.dtype)
        return x + noise if biases else jnp.zeros_like(x)

    model = xattr.from_nnx(xattr.models.untrained(name, num_classes=5))
    params = jax.tree_util.tree_map_with_path(changed, model.params)
    return xattr.Model(model.apply, params)


def check(model, image, how, start=None, rtol=1e-4):
    """Whether relevance and what is taken in add up to where they started.

    Returns:
      The sum of relevance, what was started with, and what each operation took in.
    """

    @jax.jit
    def run(model, image):
        function = ruled(model, image, how)
        sinks = {name: jnp.zeros(()) for name in function.absorbing}
        outputs, pull_back = jax.vjp(function.run, image, sinks)
        started = outputs * ((outputs == outputs.max()) if start is None else start)
        return *pull_back(started), started.sum(), outputs, model(image)

    passed, ledger, started, outputs, expected = run(model, image)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    passed = np.asarray(passed, np.float64).sum()
    entries = {name: np.float64(entry) for name, entry in ledger.items()}
    size = max(map(abs, (passed, *entries.values())))
    total = passed + sum(entries.values())
    np.testing.assert_allclose(total, started, rtol=rtol, atol=rtol * size)
    return passed, started, entries


def noise(name):
    size = SIZES[name]
    return jax.random.uniform(jax.random.key(0), (1, size, size, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("how", ["plus", "gamma box", "alpha-beta flat"])
def test_architectures(name, how):
    _, _, ledger = check(untrained(name, True), noise(name), COMPOSITES[how])
    assert max(map(abs, ledger.values())) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("how", ["epsilon", "plus"])
def test_architectures_without_biases(name, how):
    model = untrained(name, False)
    passed, started, _ = check(model, noise(name), COMPOSITES[how])
    np.testing.assert_allclose(passed, started, rtol=1e-4)


FROZEN = relevance.epsilon()._replace(frozen=("softmax", "norm"))


@pytest.mark.parametrize("size", ["tiny", apart("b_32")])
def test_transformers_of_which_softmax_and_norms_are_constants(size):
    """Only biases, and what is no part of the image, take in relevance."""
    if size == "tiny":
        model, x = transformers.tiny_vit(), transformers.images(1)
    else:
        network = xattr.models.untrained("vit_b_32", num_classes=5)
        model = xattr.from_nnx(network)
        x = jax.random.uniform(jax.random.key(0), (1, 224, 224, 3))
    passed, _, ledger = check(model, x, FROZEN, rtol=1e-3)
    kinds = dict(kinds_of(model, x, FROZEN))
    biased = ("conv", "dense", "affine", "structural")
    added = {k: v for k, v in ledger.items() if kinds.get(k, "structural") in biased}
    assert abs(passed) > 1e-3
    assert max(map(abs, added.values())) > 1e-2
    for name in set(ledger) - set(added):
        assert abs(ledger[name]) < 1e-3 * max(1, abs(passed)), name


@pytest.mark.slow
def test_transformers_whose_gap_is_per_operation():
    model, x = transformers.tiny_vit(), transformers.images(1)
    _, _, ledger = check(model, x, relevance.epsilon())
    kinds = dict(kinds_of(model, x, relevance.epsilon()))
    assert any(kinds.get(name) == "softmax" for name in ledger)


def kinds_of(model, x, how):
    """The kind of each operation that has a rule, by name."""
    found = []

    def listening(rule):
        def listen(operation, *given):
            found.append((operation.name, operation.kind))
            return rule(operation, *given)

        return listen

    rules = tuple((where, listening(rule)) for where, rule in how.rules)
    model = replace_rules(model, how._replace(rules=rules))
    jax.eval_shape(lambda x: (lambda y, back: back(y))(*jax.vjp(model, x)), x)
    return found


def test_what_is_put_beside_the_image_takes_its_part():
    """A constant channel, entry by entry: 3 * 2 of 3 * 2 + 1 * 4."""

    def model(x):
        return jnp.concatenate([x, jnp.ones_like(x)], 1) @ jnp.array([[2.0], [4.0]])

    given = model, jnp.array([[3.0]]), jnp.array([0])
    maps = relevance.lrp(*given, composite=relevance.epsilon())
    np.testing.assert_allclose(maps, [[6.0]], rtol=1e-5)
    ledger = relevance.absorbed(*given, composite=relevance.epsilon())
    np.testing.assert_allclose(ledger["concatenate:0"], [4.0], rtol=1e-5)


@pytest.mark.slow
def test_segmentations():
    network = xattr.models.untrained("espnet_camvid")
    model = xattr.from_nnx(network)
    batch = jax.random.uniform(jax.random.key(0), (1, 64, 96, 3))
    outputs = model(batch)
    targets = xattr.region_target(outputs, jnp.array([[30, 40]]))

    def score(outputs):
        return xattr.segment(outputs, targets).sum()

    check(model, batch, relevance.epsilon_plus(), start=jax.grad(score)(outputs))


def rectified(x):
    return jax.nn.relu(convolve(x, KERNELS[0]))


def again(x, **how):
    return jax.nn.relu(convolve(x, KERNELS[1], **how))


def recurrent(x):
    """Rows one after the other."""

    def step(state, row):
        state = jnp.tanh(state @ MATRIX + row.mean(1) @ KERNELS[0][0, 0])
        return state, state

    start = jnp.zeros((len(x), 4), x.dtype)
    state, states = jax.lax.scan(step, start, x.swapaxes(0, 1))
    return state + states.sum(0)


DRAW = np.random.default_rng(5).normal
KERNELS = [(DRAW(size=(3, 3, i, 4)) / 4).astype(np.float32) for i in (3, 4)]
MATRIX = (DRAW(size=(4, 4)) / 2).astype(np.float32)
SINGLE = KERNELS[1][:, :, :1]
# What a value goes through on its way from three channels to some of four.
ODD = {
    "difference from a constant": lambda x: jax.nn.relu(1 - convolve(x, KERNELS[0])),
    "constant channel": lambda x: again(
        jnp.concatenate([rectified(x)[..., :3], -jnp.ones((*x.shape[:3], 1))], -1)
    ),
    "chosen constants": lambda x: again(
        jnp.where(jnp.arange(4) > 1, rectified(x), -1.0)
    ),
    "framed by a constant": lambda x: again(
        jnp.pad(rectified(x), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1.0)
    ),
    "two ways of pooling": lambda x: (
        (y := rectified(x)).mean((1, 2), keepdims=True) + y.max((1, 2), keepdims=True)
    ),
    "deviation": lambda x: (y := rectified(x)).mean((1, 2)) * y.std((1, 2)),
    "place of the maximum": lambda x: (
        jax.nn.softmax(y := rectified(x).reshape(len(x), -1, 4), 1) * y
    ).sum(1),
    "gate": lambda x: (
        (y := rectified(x)) * jax.nn.sigmoid(y.mean((1, 2), keepdims=True) @ MATRIX)
    ),
    "quotient": lambda x: rectified(x) / (1 + rectified(x[:, ::-1])),
    "mean with several scales": lambda x: (
        rectified(x).mean(3, keepdims=True) * jnp.arange(1.0, 5)[None, None, None]
    ),
    "divided by several": lambda x: (
        rectified(x).mean(3, keepdims=True) / jnp.arange(1.0, 5)[None, None, None]
    ),
    "added to itself": lambda x: (y := rectified(x)) + y,
    "product with itself": lambda x: jnp.einsum("nhwc,nhwd->ncd", y := rectified(x), y),
    "square": lambda x: (y := rectified(x)) * y,
    "weighted places": lambda x: jnp.einsum(
        "nhwc,hw->nc", rectified(x), np.full((12, 12), 0.1, np.float32)
    ),
    "every channel by itself": lambda x: jax.nn.relu(
        jax.lax.conv_general_dilated(
            rectified(x),
            jnp.asarray(SINGLE),
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=4,
        )
    ),
    "transposed": lambda x: jax.nn.relu(
        jax.lax.conv_transpose(rectified(x), jnp.asarray(KERNELS[1]), (2, 2), "SAME")
    ),
    "standardized weights": lambda x: jax.nn.relu(
        convolve(rectified(x), KERNELS[1] - jnp.asarray(KERNELS[1]).mean((0, 1, 2)))
    ),
    "learnt factor": lambda x: rectified(x) * jnp.asarray(0.7),
    "choice of channels": lambda x: jnp.take(rectified(x), jnp.array([2, 2, 0, 1]), -1),
    "higher of two": lambda x: jnp.maximum(rectified(x), rectified(x[:, ::-1])),
    "zeros set": lambda x: rectified(x).at[:, 0].set(0.0),
    "constants added": lambda x: rectified(x).at[:, 0].add(1.0),
    "frozen summand": lambda x: (y := rectified(x)) + jax.lax.stop_gradient(again(y)),
    "attention": lambda x: jnp.einsum(
        "nts,nsc->ntc",
        jax.nn.softmax((y := rectified(x).reshape(len(x), -1, 4)) @ y.swapaxes(1, 2)),
        y,
    ),
    "pictures multiplied": lambda x: jnp.einsum(
        "nijc,njkc->nikc", rectified(x), rectified(x)
    ),
    "norm": lambda x: jax.nn.standardize(convolve(x, KERNELS[0]), axis=-1),
    "running sum": lambda x: jnp.cumsum(rectified(x), 1),
    "steps": lambda x: jnp.sign(convolve(x, KERNELS[0])) + 2,
    "image added": lambda x: rectified(x) + x.sum(-1, keepdims=True),
    "mirrored frame": lambda x: again(
        jnp.pad(rectified(x), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    ),
    "enlarged": lambda x: again(
        jax.image.resize(rectified(x), (len(x), 20, 20, 4), "bilinear")
    ),
    "recurrent": recurrent,
}
QUICK = ("constant channel", "two ways of pooling", "mean with several scales")


@pytest.mark.parametrize("name", slow_but(ODD, QUICK))
def test_nothing_is_lost_or_counted_twice(name):
    def apply(matrix, x):
        y = ODD[name](x)
        return y.reshape(len(y), -1, 4).mean(1) @ matrix

    model, x = xattr.Model(apply, jnp.asarray(MATRIX)), images(1)
    with jax.numpy_rank_promotion("allow"):
        passed, started, ledger = check(model, x, relevance.epsilon_plus())
        contributions = relevance.deeplift(model, x, jnp.array([1]))
        change = (model(x) - model(jnp.zeros_like(x)))[0, 1]
    # What is taken in twice over can't be hidden by what is taken out.
    assert max(map(abs, ledger.values()), default=0) < 5 * abs(started) + 1
    assert passed != 0
    np.testing.assert_allclose(contributions.sum(), change, rtol=1e-4, atol=1e-5)
