"""Captum's layer and neuron methods, on the same small network and the same arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", exc_type=ImportError)
captum = pytest.importorskip("captum.attr", exc_type=ImportError)

RANDOM = np.random.default_rng(0)
FIRST, SECOND, HEAD = (
    RANDOM.normal(size=size) / 3 for size in ((3, 3, 3, 4), (3, 3, 4, 5), (5, 6))
)
BIAS = RANDOM.normal(size=(4,))
IMAGES, START = RANDOM.normal(size=(2, 2, 8, 8, 3))
TARGETS = [2, 4]
UNIT = (3, 4, 1)


@pytest.fixture(autouse=True)
def double():
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
        yield


def conv(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def model(x):
    x = jnp.tanh(conv(x, FIRST, 1) + BIAS)
    return jnp.tanh(conv(x, SECOND, 2)).mean((1, 2)) @ HEAD


class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, dtype=torch.float64)
        self.second = torch.nn.Conv2d(4, 5, 3, 2, bias=False, dtype=torch.float64)
        self.site, self.top = torch.nn.Tanh(), torch.nn.Tanh()
        with torch.no_grad():
            self.first.weight[:] = torch.from_numpy(FIRST.transpose(3, 2, 0, 1).copy())
            self.second.weight[:] = torch.from_numpy(
                SECOND.transpose(3, 2, 0, 1).copy()
            )
            self.first.bias[:] = torch.from_numpy(BIAS)

    def forward(self, x):
        x = self.top(self.second(self.site(self.first(x))))
        return x.mean((2, 3)) @ torch.from_numpy(HEAD)


NET = Theirs()


def tensor(array):
    return torch.from_numpy(array.transpose(0, 3, 1, 2).copy()).requires_grad_()


def last(found):
    return found.detach().numpy().transpose(0, 2, 3, 1)


PATH = {"baselines": tensor(START), "target": torch.tensor(TARGETS)}
OURS = {"site": "tanh:0", "baseline": START}
RULES = {"midpoint": "riemann_middle", "gauss_legendre": "gausslegendre"}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("method", "explainer"),
    [
        (xattr.internal_influence, captum.InternalInfluence),
        (xattr.layer_integrated_gradients, captum.LayerIntegratedGradients),
    ],
)
def test_in_the_same_steps(method, explainer, rule):
    found = method(model, jnp.asarray(IMAGES), TARGETS, num_steps=7, rule=rule, **OURS)
    expected = explainer(NET, NET.site).attribute(
        tensor(IMAGES), n_steps=7, method=RULES[rule], **PATH
    )
    # Captum's nodes and weights are of single precision.
    np.testing.assert_allclose(found, last(expected), rtol=1e-6, atol=1e-8)


def test_conductance_with_differences_for_derivatives():
    """Captum's differences are of first order in the steps."""
    found = xattr.conductance(model, jnp.asarray(IMAGES), TARGETS, **OURS)
    errors = []
    for steps in (200, 400):
        expected = captum.LayerConductance(NET, NET.site).attribute(
            tensor(IMAGES), n_steps=steps, method="riemann_left", **PATH
        )
        errors.append(np.abs(found - last(expected)).max() / np.abs(found).max())
    assert errors[1] < 1e-2
    np.testing.assert_allclose(errors[0] / errors[1], 2, rtol=0.1)


def test_conductance_of_one_unit_in_the_same_steps():
    i, j, d = UNIT
    options = {"num_steps": 7, "rule": "gauss_legendre"}
    found = xattr.conductance(model, jnp.asarray(IMAGES), TARGETS, **options, **OURS)
    expected = captum.NeuronConductance(NET, NET.site).attribute(
        tensor(IMAGES), (d, i, j), n_steps=7, method="gausslegendre", **PATH
    )
    np.testing.assert_allclose(
        found[:, i, j, d], last(expected).sum((1, 2, 3)), rtol=1e-6
    )

    def stop(activation):
        unit = jnp.zeros(activation.shape, bool).at[(slice(None), *UNIT)].set(True)
        return jnp.where(unit, jax.lax.stop_gradient(activation), activation)

    pixels = [
        xattr.integrated_gradients(
            network, jnp.asarray(IMAGES), TARGETS, baseline=START, **options
        )
        for network in (model, xattr.edit(model, {"tanh:0": stop}))
    ]
    np.testing.assert_allclose(
        pixels[0] - pixels[1], last(expected), rtol=1e-5, atol=1e-9
    )


def test_gradients_of_a_unit():
    i, j, d = UNIT
    hidden = xattr.at_site(model, "tanh:0")
    units = jnp.array([UNIT, UNIT])
    found = xattr.gradient(hidden, jnp.asarray(IMAGES), units, score=xattr.unit)
    expected = captum.NeuronGradient(NET, NET.site).attribute(tensor(IMAGES), (d, i, j))
    np.testing.assert_allclose(found, last(expected), rtol=1e-6, atol=1e-12)
    along = xattr.integrated_gradients(
        hidden,
        jnp.asarray(IMAGES),
        units,
        baseline=START,
        num_steps=7,
        rule="gauss_legendre",
        score=xattr.unit,
    )
    expected = captum.NeuronIntegratedGradients(NET, NET.site).attribute(
        tensor(IMAGES), (d, i, j), baselines=tensor(START), n_steps=7
    )
    np.testing.assert_allclose(along, last(expected), rtol=1e-6, atol=1e-9)


def test_gradient_with_respect_to_a_site():
    found = xattr.internal_influence(
        model, jnp.asarray(IMAGES), TARGETS, site="tanh:0", rule="right", num_steps=1
    )
    expected = captum.LayerGradientXActivation(
        NET, NET.site, multiply_by_inputs=False
    ).attribute(tensor(IMAGES), target=torch.tensor(TARGETS))
    np.testing.assert_allclose(found, last(expected), rtol=1e-6, atol=1e-12)
