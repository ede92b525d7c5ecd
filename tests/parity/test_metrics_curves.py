"""Faithfulness curves of Quantus 0.6, torch-cam 0.5 and pytorch-grad-cam 1.5.

The same small network, the same images and the same maps on both sides.
"""

import contextlib
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr import metrics
from xattr.metrics._imputation import impute

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("benchmarks._torchvision", exc_type=ImportError)

N, SIZE, CLASSES = 6, 16, 5
PIXELS = SIZE * SIZE
RANDOM = np.random.default_rng(0)
# No two values are equal: orders agree.
MAPS = RANDOM.permuted(np.tile(np.linspace(0, 1, PIXELS), (N, 1)), axis=1)
MAPS = MAPS.reshape(N, SIZE, SIZE).astype(np.float32)
FILL = 0.3


def draw(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


class Case:
    """Two layers here and there, for a number of channels."""

    def __init__(self, channels):
        self.kernel, self.head = draw(3, 3, channels, 8), draw(8, CLASSES)
        self.images = draw(N, SIZE, SIZE, channels)
        self.first = torch.nn.Conv2d(channels, 8, 3)
        self.second = torch.nn.Linear(8, CLASSES, bias=False)
        with torch.no_grad():
            self.first.weight[:] = torch.tensor(self.kernel.transpose(3, 2, 0, 1))
            self.first.bias.zero_()
            self.second.weight[:] = torch.tensor(self.head.T)
        mean = torch.nn.AdaptiveAvgPool2d(1)
        self.net = torch.nn.Sequential(
            self.first, torch.nn.Tanh(), mean, torch.nn.Flatten(), self.second
        ).eval()
        self.inputs = torch.tensor(self.images.transpose(0, 3, 1, 2))
        # Not the predicted ones alone, so that scores rise as well as fall.
        self.targets = np.arange(N) % CLASSES
        self.ours = (self.model, jnp.asarray(self.images), jnp.asarray(MAPS))

    def model(self, x):
        x = jax.lax.conv_general_dilated(
            x,
            jnp.asarray(self.kernel),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return jnp.tanh(x).mean((1, 2)) @ self.head


GRAY, COLOR = Case(1), Case(3)


# Quantus


def quantus_scores(metric, case):
    arguments = {"y_batch": case.targets, "a_batch": MAPS[:, None], "softmax": True}
    found = metric(model=case.net, x_batch=case.inputs.numpy(), **arguments)
    return np.array(found) if isinstance(found, list) else found


@pytest.fixture
def quantus():
    return pytest.importorskip("quantus", exc_type=ImportError)


PLAIN = {
    "abs": False,
    "normalise": False,
    "disable_warnings": True,
    "return_aggregate": False,
}


@pytest.mark.parametrize("step", [16, 32])
def test_deletion_is_pixel_flipping(quantus, step):
    """On gray images, where a pixel is a feature; theirs leave the clean score out."""
    theirs = quantus.PixelFlipping(
        features_in_step=step, perturb_baseline=FILL, **PLAIN
    )
    expected = quantus_scores(theirs, GRAY)
    found = metrics.deletion(
        *GRAY.ours, GRAY.targets, pixels_per_step=step, baseline=FILL
    )
    np.testing.assert_allclose(found.scores[:, 1:], expected, rtol=1e-4)
    single = metrics.region_perturbation(
        *GRAY.ours, GRAY.targets, region_size=1, num_regions=PIXELS, baseline=FILL
    )
    np.testing.assert_allclose(single.scores[:, step::step], expected, rtol=1e-4)


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_region_perturbation(quantus, order):
    theirs = quantus.RegionPerturbation(
        patch_size=4, regions_evaluation=9, order=order, perturb_baseline=FILL, **PLAIN
    )
    expected = quantus_scores(theirs, COLOR)
    found = metrics.region_perturbation(
        *COLOR.ours,
        COLOR.targets,
        region_size=4,
        num_regions=9,
        order=order,
        baseline=FILL,
    )
    drops = found.scores[:, :1] - found.scores[:, 1:]
    np.testing.assert_allclose(drops, expected, rtol=1e-4, atol=1e-6)


def test_road_of_quantus(quantus):
    """It counts the images whose class stays; its code takes gray images alone."""
    percentages = [10, 30, 50, 70, 90]
    theirs = quantus.ROAD(percentages=percentages, noise=0.0, **PLAIN)
    expected = quantus_scores(theirs, GRAY)
    # Theirs are cut to whole pixels.
    found = metrics.road(
        *GRAY.ours,
        GRAY.targets,
        fractions=[math.floor(PIXELS * p / 100) / PIXELS for p in percentages],
        order="morf",
        noise=0.0,
        score=lambda z, t: (z.argmax(1) == t).astype(z.dtype),
    )
    np.testing.assert_allclose(found.scores.mean(0), list(dict(expected).values()))


@pytest.mark.parametrize("fraction", [0.3, 0.9])
def test_imputation_of_quantus(quantus, fraction):
    name = "quantus.functions.perturb_func"
    noisy_linear_imputation = pytest.importorskip(name).noisy_linear_imputation

    missing = fraction > MAPS[0]
    image = COLOR.inputs[0].numpy()
    expected = noisy_linear_imputation(image, np.flatnonzero(missing), noise=0.0)
    found = impute(jnp.asarray(COLOR.images[:1]), jnp.asarray(missing[None]))[0]
    expected = np.reshape(expected, image.shape).transpose(1, 2, 0)
    limit = 2e-5 * np.ptp(COLOR.images[0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=limit)


# torch-cam


class Given:
    """What torch-cam asks an extractor for, with maps that are there already."""

    def __init__(self, case):
        self.model = case.net

    def __call__(self, class_idx=None, scores=None, **_):
        return [torch.tensor(MAPS)]

    def fuse_cams(self, cams):
        return cams[0]

    def _hooks_off(self):
        return contextlib.nullcontext()


def torchcam_summary(name, **options):
    peer = pytest.importorskip("torchcam.metrics", exc_type=ImportError)
    softmax = functools.partial(torch.softmax, dim=-1)
    metric = getattr(peer, name)(Given(COLOR), softmax, **options)
    metric.update(COLOR.inputs, COLOR.targets.tolist())
    return metric.summary()


@pytest.mark.parametrize("steps", [8, 20])
def test_deletion_and_insertion_of_torchcam(steps):
    baseline = torch.full_like(COLOR.inputs[:1], FILL)
    summary = torchcam_summary(
        "DeletionInsertionMetric", steps=steps, baseline=baseline
    )
    options = {"pixels_per_step": math.ceil(PIXELS / steps), "baseline": FILL}
    for name in ("deletion", "insertion"):
        found = getattr(metrics, name)(*COLOR.ours, COLOR.targets, **options)
        np.testing.assert_allclose(found.area.mean(), summary[f"{name}_auc"], rtol=1e-4)


def test_drop_and_increase_of_torchcam():
    summary = torchcam_summary("ClassificationMetric")
    drop = metrics.average_drop(*COLOR.ours, COLOR.targets)
    increase = metrics.average_increase(*COLOR.ours, COLOR.targets)
    assert 0 < summary["conf_increase"] < 1
    np.testing.assert_allclose(drop.mean(), summary["avg_drop"], rtol=1e-4)
    np.testing.assert_allclose(increase.mean(), summary["conf_increase"], rtol=1e-6)


# pytorch-grad-cam


@pytest.fixture
def grad_cam():
    return pytest.importorskip("pytorch_grad_cam.metrics", exc_type=ImportError)


@pytest.fixture
def outputs(grad_cam):
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    return [targets.ClassifierOutputSoftmaxTarget(k) for k in COLOR.targets.tolist()]


def test_drop_and_increase_of_pytorch_grad_cam(outputs):
    peer = pytest.importorskip("pytorch_grad_cam.metrics.cam_mult_image")

    arguments = COLOR.inputs, MAPS, outputs, COLOR.net
    drop = metrics.average_drop(*COLOR.ours, COLOR.targets, relative=False)
    np.testing.assert_allclose(
        drop, peer.DropInConfidence()(*arguments), rtol=1e-4, atol=1e-6
    )
    increase = metrics.average_increase(*COLOR.ours, COLOR.targets)
    np.testing.assert_array_equal(increase, peer.IncreaseInConfidence()(*arguments))


# Of 256 pixels these percentiles are values of the map, which leave whole numbers.
PERCENTILES = {20: 205, 40: 154, 60: 103, 80: 52}


# Its code hands torch's arrays to NumPy's functions.
@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")
def test_road_of_pytorch_grad_cam(outputs):
    peer = pytest.importorskip("pytorch_grad_cam.metrics.perturbation_confidence")
    road = pytest.importorskip("pytorch_grad_cam.metrics.road")
    imputer = road.NoisyLinearImputer(noise=0.0)
    expected = {}
    for name, order in (
        ("morf", peer.RemoveMostRelevantFirst),
        ("lerf", peer.RemoveLeastRelevantFirst),
    ):
        expected[name] = np.stack(
            [
                peer.PerturbationConfidenceMetric(order(percentile, imputer))(
                    COLOR.inputs, MAPS, outputs, COLOR.net, return_diff=False
                )
                for percentile in PERCENTILES
            ],
            axis=1,
        )
    expected["combined"] = (expected["lerf"] - expected["morf"]) / 2
    for order, scores in expected.items():
        found = metrics.road(
            *COLOR.ours,
            COLOR.targets,
            fractions=[count / PIXELS for count in PERCENTILES.values()],
            order=order,
            noise=0.0,
        )
        np.testing.assert_allclose(found.scores, scores, rtol=1e-4, atol=2e-6)
        np.testing.assert_allclose(found.value, scores.mean(1), rtol=1e-4, atol=2e-6)


def test_coherency_and_complexity_of_pytorch_grad_cam(outputs):
    peer = pytest.importorskip("pytorch_grad_cam.metrics.arcc")

    def explain(images):
        """A map that changes with the image, from 0 to 1."""
        maps = np.abs(images).sum(-1)
        low, high = (f(maps, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
        return ((maps - low) / (high - low)).astype(np.float32)

    def theirs(input_tensor, targets):
        return explain(input_tensor.numpy().transpose(0, 2, 3, 1))

    def ours(model, images, targets, *, key=None):
        return jnp.abs(images).sum(-1)

    maps = explain(COLOR.images)
    found = metrics.adcc(ours, COLOR.model, COLOR.ours[1], COLOR.targets)
    coherency = peer.Coherency()(COLOR.inputs, maps, outputs, COLOR.net, theirs)
    np.testing.assert_allclose(found.coherency, coherency, rtol=1e-4)
    np.testing.assert_allclose(found.complexity, peer.Complexity()(maps), rtol=1e-4)
    drop = metrics.average_drop(*COLOR.ours[:2], jnp.asarray(maps), COLOR.targets)
    np.testing.assert_allclose(found.average_drop, drop, rtol=1e-5, atol=1e-6)
