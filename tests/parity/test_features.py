"""The values of captum's methods that switch features on and off.

Both sides explain the same small network on the same arrays. Where a method draws,
captum is given the coalitions that were drawn here.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.perturbations import games

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", exc_type=ImportError)
captum = pytest.importorskip("captum.attr", exc_type=ImportError)
linear = pytest.importorskip("captum._utils.models.linear_model", exc_type=ImportError)

SHAPE, GRID, NUM = (4, 6, 3), (2, 3), 6
RANDOM = np.random.default_rng(0)
FIRST, SECOND = RANDOM.normal(size=(72, 8)) / 4, RANDOM.normal(size=(8, 5))
IMAGE, FILL = RANDOM.normal(size=(1, *SHAPE)), 0.3 * RANDOM.normal(size=(1, *SHAPE))
TARGET = 2


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def ours(name, **options):
    def model(x):
        return jnp.tanh(x.reshape(len(x), -1) @ FIRST) @ SECOND

    maps = getattr(xattr, name)(
        model, jnp.asarray(IMAGE), [TARGET], grid=GRID, baseline=FILL, **options
    )
    return np.asarray(maps)


def theirs(explainer, **options):
    owner = np.arange(NUM).reshape(GRID).repeat(2, 0).repeat(2, 1)
    maps = explainer.attribute(
        torch.from_numpy(IMAGE),
        baselines=torch.from_numpy(FILL),
        target=TARGET,
        feature_mask=torch.from_numpy(owner[None, :, :, None]),
        **options,
    )
    return maps.numpy()[..., :1]


def network(x):
    first, second = torch.from_numpy(FIRST), torch.from_numpy(SECOND)
    return torch.tanh(x.reshape(len(x), -1) @ first) @ second


def given(coalitions):
    """A source of samples that are known beforehand."""

    def generate(*args, **kwargs):
        for z in itertools.cycle(coalitions):
            yield torch.tensor(z)[None].long()

    return generate


def test_feature_ablation():
    expected = theirs(captum.FeatureAblation(network))
    np.testing.assert_allclose(ours("feature_ablation"), expected, rtol=1e-9)


def test_all_coalitions_against_all_orders():
    expected = theirs(captum.ShapleyValues(network))
    # Captum sums over the orders in single precision.
    np.testing.assert_allclose(ours("kernel_shap"), expected, rtol=1e-5)


def test_kernel_shap_on_the_same_coalitions():
    options = {"num_samples": 40, "key": jax.random.key(0)}
    shown = games.coalitions(xattr.kernel_shap, num=NUM, **options)
    explainer = captum.KernelShap(network)
    explainer.perturb_func = given(shown)
    expected = theirs(explainer, n_samples=len(shown))
    # The ends weigh a million there, and bind here.
    np.testing.assert_allclose(
        ours("kernel_shap", **options), expected, rtol=1e-3, atol=1e-4
    )


def test_lime_on_the_same_coalitions():
    options = {"num_samples": 60, "key": jax.random.key(0)}
    shown = games.coalitions(xattr.lime, num=NUM, **options)

    def similarity(image, changed, z, **kwargs):
        distance = 1 - torch.nn.functional.cosine_similarity(
            z.double(), torch.ones_like(z).double()
        )
        return torch.exp(-(distance**2) / (2 * 0.25**2))

    explainer = captum.Lime(
        network,
        interpretable_model=linear.SkLearnRidge(alpha=1.0),
        similarity_func=similarity,
        perturb_func=given(shown),
    )
    expected = theirs(explainer, n_samples=len(shown))
    # Captum fits in single precision.
    np.testing.assert_allclose(ours("lime", **options), expected, rtol=1e-4, atol=1e-5)


def test_shapley_sampling_along_the_same_orders():
    options = {"num_permutations": 7, "key": jax.random.key(0)}
    shown = games.coalitions(xattr.shapley_sampling, num=NUM, **options)
    chains = shown[:-2].reshape(7, NUM - 1, NUM)
    orders = chains.sum(1).argsort(1)[:, ::-1]
    explainer = captum.ShapleyValueSampling(network)
    explainer.permutation_generator = lambda *_: iter(orders.tolist())
    expected = theirs(explainer, n_samples=7)
    np.testing.assert_allclose(
        ours("shapley_sampling", **options), expected, rtol=1e-6, atol=1e-9
    )
