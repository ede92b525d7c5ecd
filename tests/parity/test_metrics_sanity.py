"""SciPy's and scikit-image's similarities; Quantus 0.6's randomization tests.

Quantus draws the weights, which are then given to the functions here.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from xattr import metrics

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("benchmarks._torchvision", exc_type=ImportError)
quantus = pytest.importorskip("quantus", exc_type=ImportError)
scipy_stats = pytest.importorskip("scipy.stats", exc_type=ImportError)
skimage_metrics = pytest.importorskip("skimage.metrics", exc_type=ImportError)
skimage_feature = pytest.importorskip("skimage.feature", exc_type=ImportError)

RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=(2, 70, 66)).round(1)
B = (A + RANDOM.normal(size=A.shape)).round(1)
IMAGES = RANDOM.normal(size=(3, 3, 8, 8)).astype(np.float32)
TARGETS = np.array([0, 5, 2])


@pytest.fixture(autouse=True)
def double():
    with jax.numpy_rank_promotion("allow"), jax.enable_x64(True):
        yield


def each(theirs, *maps):
    return [theirs(*pair) for pair in zip(*maps, strict=True)]


def test_spearman_of_scipy():
    expected = each(lambda a, b: scipy_stats.spearmanr(a.ravel(), b.ravel())[0], A, B)
    np.testing.assert_allclose(metrics.spearman(A, B), expected, rtol=1e-10)


def test_pearson_and_cosine_of_quantus():
    flat = [x.reshape(len(x), -1) for x in (A, B)]
    pearson = each(quantus.similarity_func.correlation_pearson, *flat)
    np.testing.assert_allclose(metrics.pearson(A, B), pearson, rtol=1e-10)
    distance = np.array(each(quantus.similarity_func.cosine, *flat))
    np.testing.assert_allclose(metrics.cosine(A, B), 1 - distance, rtol=1e-10)


WINDOWS = {
    "gaussian": {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
    },
    "uniform": {},
}


@pytest.mark.parametrize("window", WINDOWS)
def test_ssim_of_skimage(window):
    def theirs(a, b, **options):
        extent = max(a.max(), b.max()) - min(a.min(), b.min())
        return skimage_metrics.structural_similarity(
            a, b, data_range=extent, **WINDOWS[window], **options
        )

    np.testing.assert_allclose(
        metrics.ssim(A, B, window=window), each(theirs, A, B), rtol=1e-10
    )
    colors = [np.stack([x, y], -1) for x, y in ((A, B), (B[::-1], A))]
    np.testing.assert_allclose(
        metrics.ssim(*colors, window=window),
        each(lambda a, b: theirs(a, b, channel_axis=-1), *colors),
        rtol=1e-10,
    )


@pytest.mark.parametrize(("cell", "block"), [(16, 3), (8, 2), (7, 3)])
def test_hog_of_skimage(cell, block):
    def theirs(a, b):
        found = [
            skimage_feature.hog(
                x / np.abs(x).max(),
                orientations=9,
                pixels_per_cell=(cell, cell),
                cells_per_block=(block, block),
                block_norm="L2-Hys",
            )
            for x in (a, b)
        ]
        return np.corrcoef(*found)[0, 1]

    # Differences that are nothing but rounding have an angle all the same.
    maps = [x + 0.01 * RANDOM.normal(size=x.shape) for x in (A, B)]
    found = metrics.hog_pearson(*maps, cell=cell, block=block)
    np.testing.assert_allclose(found, each(theirs, *maps), rtol=1e-6)


class Theirs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.second = torch.nn.Conv2d(4, 5, 3, padding=1)
        self.head = torch.nn.Linear(5, 6)

    def forward(self, x):
        x = torch.tanh(self.second(torch.tanh(self.first(x))))
        return self.head(x.mean((2, 3)))


def explain(model, inputs, targets, **_):
    """Gradients summed over channels."""
    x = torch.as_tensor(np.asarray(inputs), dtype=torch.float32).requires_grad_()
    chosen = torch.as_tensor(np.asarray(targets), dtype=torch.long)
    out = model(x)[torch.arange(len(x)), chosen].sum()
    (found,) = torch.autograd.grad(out, x)
    return found.sum(1).numpy()


def converted(net):
    params = {}
    for name in ("first", "second", "head"):
        module = getattr(net, name)
        kernel = module.weight.detach().numpy().astype(np.float64)
        order = (2, 3, 1, 0) if kernel.ndim == 4 else (1, 0)
        params[name] = {
            "kernel": jnp.asarray(kernel.transpose(order)),
            "bias": jnp.asarray(module.bias.detach().numpy().astype(np.float64)),
        }
    return params


def apply(params, x):
    for name in ("first", "second"):
        x = jax.lax.conv_general_dilated(
            x,
            params[name]["kernel"],
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jnp.tanh(x + params[name]["bias"])
    return x.mean((1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]


def summed(model, images, targets, *, key):
    del key
    return xattr.gradient(model, images, targets).sum(-1)


ORDERS = {
    "cascading": "top_down",
    "bottom_up": "bottom_up",
    "independent": "independent",
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("absolute", [False, True])
def test_parameter_randomization_of_quantus(order, absolute, key):
    torch.manual_seed(3)
    net = Theirs().eval()
    theirs = quantus.MPRT(
        layer_order=ORDERS[order], abs=absolute, disable_warnings=True
    )(
        model=net, x_batch=IMAGES, y_batch=TARGETS, explain_func=explain
    )  # fmt: skip
    reset = Theirs()
    for module in (reset.first, reset.second, reset.head):
        torch.manual_seed(42 + 1)
        module.reset_parameters()
    new = {w.shape: w for w in jax.tree.leaves(converted(reset))}
    found = metrics.parameter_randomization(
        summed,
        xattr.Model(apply, converted(net)),
        jnp.asarray(IMAGES.transpose(0, 2, 3, 1).astype(np.float64)),
        TARGETS,
        order=order,
        absolute=absolute,
        draw=lambda key, weights: new[weights.shape],
        key=key,
    )
    np.testing.assert_allclose(theirs["original"], 1)
    for name, similarity in zip(found.layers, found.similarity.T, strict=True):
        np.testing.assert_allclose(similarity, theirs[name], rtol=1e-4)
    # Theirs is in the order in which layers were defined, or in its reverse.
    names = [name for name in theirs if name != "original"]
    assert list(found.layers) == (names[::-1] if order == "independent" else names)


def test_random_logit_of_quantus(key, monkeypatch):
    net = Theirs().eval()
    asked = []

    def method(model, images, targets, *, key):
        asked.append(np.asarray(targets))
        return summed(model, images, targets, key=key)

    found = metrics.random_logit(
        method,
        xattr.Model(apply, converted(net)),
        jnp.asarray(IMAGES.transpose(0, 2, 3, 1).astype(np.float64)),
        TARGETS,
        key=key,
    )
    others = asked[1]
    monkeypatch.setattr(
        np.random, "randint", lambda *_: others - (others > TARGETS).astype(int)
    )
    theirs = quantus.RandomLogit(
        num_classes=6,
        similarity_func=quantus.similarity_func.correlation_spearman,
        abs=False,
        disable_warnings=True,
    )(
        model=net, x_batch=IMAGES, y_batch=TARGETS, explain_func=explain
    )  # fmt: skip
    np.testing.assert_allclose(found, theirs, rtol=1e-4)
