"""Zennit's rules and composites, and captum's, on the same networks."""

import copy
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from xattr import relevance
from xattr.models import photographs
from xattr.program import Composite, Where

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", exc_type=ImportError)
captum = pytest.importorskip("captum.attr", exc_type=ImportError)
cases = pytest.importorskip("benchmarks._case", exc_type=ImportError)
zennits = pytest.importorskip("benchmarks._zennit", exc_type=ImportError)
rules = pytest.importorskip("zennit.rules", exc_type=ImportError)
core = pytest.importorskip("zennit.composites", exc_type=ImportError)
attribution = pytest.importorskip("zennit.attribution", exc_type=ImportError)

RANDOM = np.random.default_rng(0)
FIRST, SECOND = (RANDOM.normal(size=size) / 3 for size in ((3, 3, 3, 4), (3, 3, 4, 5)))
HEAD = RANDOM.normal(size=(45, 6))
BIASES = [RANDOM.normal(size=(size,)) for size in (4, 5, 6)]
IMAGES = RANDOM.normal(size=(2, 9, 9, 3))
TARGETS = [2, 4]
LOW, HIGH = -3.0, 3.5


@pytest.fixture
def double():
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
        yield


def conv(x, kernel, stride, padding):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def model(x):
    x = jax.nn.relu(conv(x, FIRST, 2, 1) + BIASES[0])
    x = jax.nn.relu(conv(x, SECOND, 1, 0) + BIASES[1])
    return x.reshape(len(x), -1) @ HEAD + BIASES[2]


def network():
    """The same of modules, where channels come first when they are flattened."""
    layers = [
        torch.nn.Conv2d(3, 4, 3, 2, 1, dtype=torch.float64),
        torch.nn.Conv2d(4, 5, 3, dtype=torch.float64),
        torch.nn.Linear(45, 6, dtype=torch.float64),
    ]
    head = HEAD.reshape(3, 3, 5, 6).transpose(3, 2, 0, 1).reshape(6, 45)
    weights = [FIRST.transpose(3, 2, 0, 1), SECOND.transpose(3, 2, 0, 1), head]
    for layer, weight, bias in zip(layers, weights, BIASES, strict=True):
        layer.weight.data = torch.from_numpy(weight.copy())
        layer.bias.data = torch.from_numpy(bias.copy())
    return torch.nn.Sequential(
        layers[0],
        torch.nn.ReLU(),
        layers[1],
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        layers[2],
    )


def from_zennit(module, composite):
    logits = zennits.logits_of(torch.tensor(TARGETS))
    with attribution.Gradient(module, composite) as attributor:
        return cases.from_torch(attributor(cases.to_torch(IMAGES), logits)[1])


# Zennit's rule and its settings -> ours.
RULES = {
    "Epsilon": ({"epsilon": 0.1}, partial(relevance.proportional, epsilon=0.1)),
    "ZPlus": ({}, relevance.z_plus),
    "AlphaBeta": (
        {"alpha": 3.0, "beta": 2.0},
        partial(relevance.alpha_beta, alpha=3.0, beta=2.0),
    ),
    "Gamma": ({"gamma": 0.4}, partial(relevance.gamma, gamma=0.4)),
    "Flat": ({}, relevance.flat),
    # The peer would add the square of the bias, which the paper has no term for.
    "WSquare": ({"zero_params": ["bias"]}, relevance.w_square),
}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", RULES)
def test_rules(name):
    """In all layers, whose inputs have both signs in the first."""
    options, rule = RULES[name]
    composite = Composite(
        (
            (Where(("conv", "dense")), rule),
            (Where(("relu",)), relevance.keep),
        )
    )
    ours = relevance.lrp(model, jnp.asarray(IMAGES), TARGETS, composite=composite)
    theirs = core.LayerMapComposite(
        [
            (zennits.peer.Activation, rules.Pass()),
            (zennits.peer.Linear, getattr(rules, name)(**options)),
        ]
    )
    expected = from_zennit(network(), theirs)
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("double")
def test_z_box():
    """In the first layer, the gamma rule above."""
    composite = relevance.epsilon_gamma_box(low=LOW, high=HIGH)
    ours = relevance.lrp(model, jnp.asarray(IMAGES), TARGETS, composite=composite)
    expected = from_zennit(network(), core.EpsilonGammaBox(low=LOW, high=HIGH))
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-9)


@pytest.fixture(scope="module")
def photographed():
    """A network with photographs no two pixels of which are equal, in float64."""
    images = [np.asarray(Image.open(p).convert("RGB")) for p in photographs()[:1]]
    with cases.float64():
        return cases.case("squeezenet1_1", None, images, dithered=True)


@pytest.mark.parametrize("comparison", zennits.comparisons(), ids=lambda c: c.theirs)
def test_composites(photographed, comparison):
    with cases.float64():
        [pair] = comparison.pairs(photographed)
    assert max(cases.difference(*pair)) < 1e-6


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (relevance.guided_backprop, "GuidedBackprop"),
        (relevance.deconvnet, "Deconvolution"),
    ],
)
@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_captum(photographed, ours, name):
    """Captum's hooks refuse activations in place; ours don't see the difference."""
    module = copy.deepcopy(photographed.module)
    for part in module.modules():
        if isinstance(part, torch.nn.ReLU):
            part.inplace = False
    theirs = getattr(captum, name)(module).attribute(
        photographed.inputs, target=photographed.targets
    )
    with cases.float64():
        maps = ours(photographed.model, photographed.images, photographed.classes)
    assert max(cases.difference(np.asarray(maps), cases.from_torch(theirs))) < 1e-6


@pytest.mark.usefixtures("double")
@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
def test_deeplift():
    """Without maximum pooling, whose rules differ."""
    start = jnp.full(IMAGES.shape, 0.3)
    ours = relevance.deeplift(model, jnp.asarray(IMAGES), TARGETS, baseline=start)
    theirs = captum.DeepLift(network()).attribute(
        cases.to_torch(IMAGES).requires_grad_(),
        cases.to_torch(start),
        torch.tensor(TARGETS),
    )
    np.testing.assert_allclose(ours, cases.from_torch(theirs), rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2)])
@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
def test_deeplift_of_maximum_pooling(window, stride):
    """Equal where windows don't overlap; elsewhere the peer loses what they share."""
    images, start = IMAGES[:, :7, :7, :1], np.full((2, 7, 7, 1), 0.3)
    size = (7 - window) // stride + 1
    head = RANDOM.normal(size=(size**2, 6))

    def pooled(x):
        sizes, steps = (1, window, window, 1), (1, stride, stride, 1)
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, sizes, steps, "VALID")
        return x.reshape(len(x), -1) @ head

    linear = torch.nn.Linear(*head.shape, bias=False, dtype=torch.float64)
    linear.weight.data = torch.from_numpy(head.T.copy())
    pool = torch.nn.MaxPool2d(window, stride)
    theirs = captum.DeepLift(
        torch.nn.Sequential(pool, torch.nn.Flatten(), linear)
    ).attribute(
        cases.to_torch(images).requires_grad_(),
        cases.to_torch(start),
        torch.tensor(TARGETS),
    )
    theirs = cases.from_torch(theirs)
    fill = jnp.asarray(start)
    ours = relevance.deeplift(pooled, jnp.asarray(images), TARGETS, baseline=fill)
    change = (pooled(images) - pooled(start))[jnp.arange(2), jnp.array(TARGETS)]
    np.testing.assert_allclose(ours.sum((1, 2, 3)), change, rtol=1e-9)
    if window == stride:
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    else:
        assert np.abs(theirs.sum((1, 2, 3)) - change).max() > 0.1
