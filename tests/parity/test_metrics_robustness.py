"""Captum 0.9 and Quantus 0.6 on the same network, with the same noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from xattr._keys import per_image
from xattr._noise import fold
from xattr.metrics import average_sensitivity, local_lipschitz, max_sensitivity
from xattr.metrics._parameter_randomization import APART
from xattr.metrics._perturbed_maps import gaussian, uniform

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", exc_type=ImportError)
captum = pytest.importorskip("captum.attr", exc_type=ImportError)
captum_metrics = pytest.importorskip("captum.metrics", exc_type=ImportError)

RANDOM = np.random.default_rng(0)
KERNEL, HEAD = (RANDOM.normal(size=size) / 3 for size in ((3, 3, 3, 4), (4, 5)))
IMAGES = RANDOM.normal(size=(3, 8, 8, 3))
TARGETS = [2, 4, 0]
SAMPLES = 6


@pytest.fixture(autouse=True)
def double():
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
        yield


def model(x):
    x = jax.lax.conv_general_dilated(
        x,
        jnp.asarray(KERNEL),
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jnp.tanh(x).mean((1, 2)) @ HEAD


class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, bias=False, dtype=torch.float64)
        with torch.no_grad():
            self.first.weight[:] = torch.from_numpy(KERNEL.transpose(3, 2, 0, 1).copy())

    def forward(self, x):
        x = torch.tanh(self.first(x.double()))
        return x.mean((2, 3)) @ torch.from_numpy(HEAD)


NET = Theirs().eval()
METHODS = {
    "gradient": (xattr.gradient, captum.Saliency),
    "input x gradient": (xattr.input_x_gradient, captum.InputXGradient),
}


def first(array):
    return np.moveaxis(np.asarray(array), -1, -3).copy()


def noise(draw, scale):
    """The noise that is drawn for each image, `s n c h w`."""
    keys = per_image(jax.random.key(0), len(IMAGES))
    keys = fold(keys, jnp.full(len(IMAGES), APART, jnp.uint32))
    images = jnp.asarray(IMAGES)
    by = jnp.asarray(scale, jnp.float32)
    drawn = [
        draw(images, fold(keys, jnp.full(len(IMAGES), s)), by) for s in range(SAMPLES)
    ]
    return first(np.stack(drawn))


def explained(name, inputs, targets):
    explainer = METHODS[name][1](NET)
    options = {"abs": False} if name == "gradient" else {}
    inputs = torch.as_tensor(inputs).double().requires_grad_()
    return explainer.attribute(inputs, target=torch.as_tensor(targets), **options)


@pytest.mark.parametrize("name", METHODS)
def test_max_sensitivity_of_captum(name):
    drawn = noise(uniform, 0.3)

    def perturbed(inputs):
        # Captum repeats each image as many times as there are samples.
        own = np.moveaxis(drawn, 0, 1).reshape(inputs.shape)
        return inputs + torch.from_numpy(own)

    def explain(inputs, target):
        with torch.enable_grad():
            if isinstance(inputs, tuple):
                return (explained(name, inputs[0].detach(), target).detach(),)
            return explained(name, inputs.detach(), target).detach()

    expected = captum_metrics.sensitivity_max(
        explain,
        torch.from_numpy(first(IMAGES)),
        perturbed,
        n_perturb_samples=SAMPLES,
        target=torch.tensor(TARGETS),
    )
    found = max_sensitivity(
        METHODS[name][0], model, jnp.asarray(IMAGES), TARGETS, radius=0.3,
        num_samples=SAMPLES, key=jax.random.key(0),
    )  # fmt: skip
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)


def largest_one(model, images, targets=None, *, key=None):
    """A method whose maps have a largest magnitude of 1, as Quantus scales them."""
    maps = xattr.gradient(model, images, targets, key=key)
    return maps / jnp.abs(maps).max((1, 2, 3), keepdims=True)


@pytest.mark.parametrize(
    ("method", "metric", "theirs", "normalise"),
    [
        (xattr.gradient, max_sensitivity, "MaxSensitivity", False),
        (xattr.gradient, average_sensitivity, "AvgSensitivity", False),
        (xattr.gradient, local_lipschitz, "LocalLipschitzEstimate", False),
        (largest_one, local_lipschitz, "LocalLipschitzEstimate", True),
    ],
)
def test_the_same_as_quantus(method, metric, theirs, normalise):
    pytest.importorskip("benchmarks._torchvision", exc_type=ImportError)
    quantus = pytest.importorskip("quantus", exc_type=ImportError)
    slope = metric is local_lipschitz
    # One image at a time: Quantus divides by the largest magnitude of its batch.
    drawn = noise(gaussian if slope else uniform, 0.3)
    drawn = iter(np.moveaxis(drawn, 0, 1).reshape(-1, *drawn.shape[2:]))

    def perturbed(arr, indices, **options):
        del indices, options
        return arr + next(drawn).reshape(arr.shape)

    def explain(model, inputs, targets, **options):
        del model, options
        return explained("gradient", inputs, targets).detach().numpy()

    evaluate = getattr(quantus, theirs)(
        nr_samples=SAMPLES,
        perturb_func=perturbed,
        normalise=normalise,
        disable_warnings=True,
    )
    expected = evaluate(
        model=NET,
        x_batch=first(IMAGES),
        y_batch=np.array(TARGETS),
        explain_func=explain,
        channel_first=True,
        batch_size=1,
    )
    options = {"stddev" if slope else "radius": 0.3}
    found = metric(
        method, model, jnp.asarray(IMAGES), TARGETS, num_samples=SAMPLES,
        key=jax.random.key(0), **options,
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-6)
