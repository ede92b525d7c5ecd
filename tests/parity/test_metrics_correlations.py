"""Metrics of the same maps by Quantus 0.6.0, captum 0.9.0 and saliency 0.2.1.

Random draws are ours, handed to them: their protocols are compared, not their luck.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from xattr import metrics
from xattr.metrics._infidelity import _gaussian, _Options, _square
from xattr.metrics._subsets import random_pixels

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("benchmarks._torchvision", exc_type=ImportError)
captum = pytest.importorskip("captum.metrics", exc_type=ImportError)
attribution = pytest.importorskip("captum.attr", exc_type=ImportError)
quantus = pytest.importorskip("quantus", exc_type=ImportError)
pic = pytest.importorskip("saliency.metrics.pic", exc_type=ImportError)

RANDOM = np.random.default_rng(0)
SIZE = (14, 12)
KERNEL = RANDOM.normal(size=(3, 3, 1, 4)).astype(np.float32)
BIAS = RANDOM.normal(size=(4,)).astype(np.float32)
HEAD = RANDOM.normal(size=(4, 3)).astype(np.float32)
IMAGES = RANDOM.normal(size=(3, *SIZE, 1)).astype(np.float32)
TARGETS = np.array([2, 0, 1])
KEYS = jax.random.split(jax.random.key(4), 3)
MAPS = RANDOM.normal(size=(3, *SIZE)).astype(np.float32)


@pytest.fixture(autouse=True)
def ranks():
    with jax.numpy_rank_promotion("allow"):
        yield


def model(x):
    x = jax.lax.conv_general_dilated(
        x,
        jnp.asarray(KERNEL),
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jax.nn.relu(x + BIAS).mean((1, 2)) @ HEAD


class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3)
        self.head = torch.nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            self.conv.weight[:] = torch.from_numpy(KERNEL.transpose(3, 2, 0, 1).copy())
            self.conv.bias[:] = torch.from_numpy(BIAS)
            self.head.weight[:] = torch.from_numpy(HEAD.T.copy())

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))


NET = Theirs().eval()
FIRST = IMAGES.transpose(0, 3, 1, 2).copy()  # channels first
BATCH = {"x_batch": FIRST, "y_batch": TARGETS, "channel_first": True}


def one_image(n):
    own = slice(n, n + 1)
    return BATCH | {"x_batch": FIRST[own], "y_batch": TARGETS[own]}


def folded(num):
    """Keys of the draws of each image."""
    return [
        jax.vmap(lambda s, key=key: jax.random.fold_in(key, s))(jnp.arange(num))
        for key in KEYS
    ]


def test_faithfulness_correlation_is_that_of_quantus(monkeypatch):
    num, size = 15, 20
    subsets = [
        np.asarray(random_pixels(keys, jnp.full(num, size), SIZE))
        for keys in folded(num)
    ]
    # It asks for the subsets of all images, run after run.
    draws = iter([np.flatnonzero(own[s]) for s in range(num) for own in subsets])
    monkeypatch.setattr(np.random, "choice", lambda *_, **__: next(draws))
    theirs = quantus.FaithfulnessCorrelation(
        nr_runs=num,
        subset_size=size,
        perturb_baseline=0.25,
        return_aggregate=False,
        disable_warnings=True,
    )(model=NET, a_batch=MAPS[:, None].copy(), softmax=True, **BATCH)
    ours = metrics.faithfulness_correlation(
        model,
        jnp.asarray(IMAGES),
        jnp.asarray(MAPS),
        TARGETS,
        num_samples=num,
        subset_size=size,
        baseline=0.25,
        key=KEYS,
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("perturbation", ["gaussian", "square"])
def test_infidelity_is_that_of_captum(perturbation, normalize):
    num, options = 12, _Options(stddev=0.2, side=6)
    draw = {"gaussian": _gaussian, "square": _square}[perturbation]
    fill = jnp.full(IMAGES.shape[1:], 0.25)
    drawn = [
        jax.vmap(lambda key, x=x: draw(key, x, fill, options))(keys)
        for x, keys in zip(jnp.asarray(IMAGES), folded(num), strict=True)
    ]
    changed, weights = (
        torch.from_numpy(np.concatenate(part).transpose(0, 3, 1, 2).copy())
        for part in zip(*drawn, strict=True)
    )
    theirs = captum.infidelity(
        lambda x: torch.softmax(NET(x), 1),
        lambda _: (weights, changed),
        torch.from_numpy(FIRST),
        torch.from_numpy(0.01 * MAPS[:, None]),
        target=torch.from_numpy(TARGETS),
        n_perturb_samples=num,
        normalize=normalize,
    )
    ours = metrics.infidelity(
        model,
        jnp.asarray(IMAGES),
        jnp.asarray(0.01 * MAPS),
        TARGETS,
        perturbation=perturbation,
        num_samples=num,
        side=6,
        baseline=0.25,
        normalize=normalize,
        key=KEYS,
    )
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4)


def test_completeness_gap_is_the_convergence_delta_of_captum():
    maps, theirs = attribution.IntegratedGradients(NET).attribute(
        torch.from_numpy(FIRST),
        target=torch.from_numpy(TARGETS),
        baselines=0.25,
        n_steps=3,
        return_convergence_delta=True,
    )
    ours = metrics.completeness_gap(
        model,
        jnp.asarray(IMAGES),
        jnp.asarray(maps.detach().numpy().transpose(0, 2, 3, 1)),
        TARGETS,
        baseline=0.25,
    )
    assert np.abs(theirs.numpy()).max() > 1e-3
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "ours", "options"),
    [
        ("Sparseness", metrics.gini, {}),
        ("Complexity", metrics.entropy, {}),
        ("EffectiveComplexity", metrics.effective_size, {"eps": 0.3}),
    ],
)
def test_complexity_is_that_of_quantus(name, ours, options):
    metric = getattr(quantus, name)(
        abs=True, normalise=True, return_aggregate=False, disable_warnings=True,
        **options,
    )  # fmt: skip
    # Image by image: it divides by the largest value of a whole batch.
    theirs = [
        metric(model=NET, a_batch=MAPS[n : n + 1, None].copy(), **one_image(n))[0]
        for n in range(3)
    ]
    own = {"threshold": options["eps"]} if options else {}
    np.testing.assert_allclose(ours(jnp.asarray(MAPS), **own), theirs, rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "theirs", "invariant"),
    [
        (xattr.gradient, "Saliency", True),
        (xattr.input_x_gradient, "InputXGradient", False),
    ],
)
def test_input_invariance_agrees_with_quantus(method, theirs, invariant):
    found = quantus.InputInvariance(
        input_shift=-1, return_aggregate=False, disable_warnings=True, abs=False
    )(
        model=NET,
        a_batch=None,
        explain_func=quantus.explain,
        explain_func_kwargs={"method": theirs},
        **BATCH,
    )
    assert np.all(np.asarray(found) == invariant)
    distance = metrics.input_invariance(
        method, model, jnp.asarray(IMAGES), TARGETS, shift=-1.0
    )
    assert np.all((distance < 1e-4) == invariant)


def photographs(n):
    """Smooth with fine grain, as bytes."""
    random = np.random.default_rng(n)
    y, x = np.mgrid[:40, :36] / 8.0
    waves = [np.sin(y * a + x * b) for a, b in random.uniform(0, 3, (3, 2))]
    image = 0.5 + 0.3 * np.stack(waves, -1) + random.uniform(-0.2, 0.2, (40, 36, 3))
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("monotone", [True, False])
@pytest.mark.parametrize("name", ["sic", "aic"])
def test_information_curves_are_those_of_saliency(name, monotone, monkeypatch):
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)
    pictures = np.stack([photographs(n) for n in range(3)])
    maps = np.random.default_rng(1).normal(size=(3, 40, 36)).astype(np.float32)
    weights = 20 * np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)
    level = 5.0
    thresholds = [0.01, 0.05, 0.2, 0.5, 0.75]

    @jax.jit
    def rough(x):
        z = jnp.abs(jnp.diff(x, axis=2)).mean((1, 2)) @ weights
        # The last class is that of blurred images.
        return jnp.concatenate([z, jnp.full((len(x), 1), level)], 1)

    shown = jnp.asarray((pictures / np.float32(255)).astype(np.float32))
    targets = np.asarray(rough(shown)).argmax(1)
    options = {"fractions": tuple(thresholds), "monotone": monotone, "key": KEYS}
    if name == "sic":
        options["min_score"] = 0.0
    found = getattr(metrics, name)(rough, shown, jnp.asarray(maps), targets, **options)
    starts = random_pixels(KEYS, jnp.full(3, int(40 * 36 * 0.01)), (40, 36))
    kept = []
    for n, target in enumerate(targets):

        def score(images, target=target):
            z = rough(jnp.asarray((images / np.float32(255)).astype(np.float32)))
            if name == "aic":
                return np.asarray(z.argmax(1) == target, np.float64)
            return np.asarray(jax.nn.softmax(z)[:, target], np.float64)

        try:
            theirs = pic.compute_pic_metric(
                pictures[n],
                maps[n],
                np.asarray(starts[n]),
                score,
                thresholds,
                min_pred_value=0.0,
                keep_monotonous=monotone,
            )
        except pic.ComputePicMetricError:
            assert np.isnan(found.scores[n]).all()
            continue
        kept.append(theirs)
        np.testing.assert_allclose(found.scores[n], theirs.curve_y, atol=1e-4)
        np.testing.assert_allclose(found.area[n], theirs.auc, rtol=1e-4)
    assert kept
    whole = pic.aggregate_individual_pic_results(kept)
    ours = metrics.median_curve(found)
    np.testing.assert_allclose(ours.scores[0], whole.curve_y, atol=1e-4)
    np.testing.assert_allclose(ours.area, [whole.auc], rtol=1e-4)
