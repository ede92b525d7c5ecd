"""Networks as they are used, with biases everywhere: forward passes, and sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from xattr import relevance
from xattr.program import replace_rules

pytestmark = pytest.mark.slow

SIZES = {
    "cifar10_resnet20": 32,
    "mobilenet_v2_torchvision": 64,
    "squeezenet1_1": 64,
    "resnet18": 64,
    "resnet50": 64,
    "vgg11_bn": 64,  # has all that vgg11 has
}


def with_biases(name):
    """Scales, biases and statistics that are not those of a new network."""
    model = xattr.from_nnx(xattr.models.untrained(name, num_classes=5))
    random = np.random.default_rng(0)

    def shifted(x):
        return x + random.uniform(0.1, 0.4, x.shape).astype(x.dtype) * (x.ndim == 1)

    return xattr.Model(model.apply, jax.tree.map(shifted, model.params))


def batch_of(name):
    return jax.random.uniform(jax.random.key(0), (2, SIZES[name], SIZES[name], 3))


ALL = pytest.mark.parametrize("name", SIZES)


@ALL
def test_terms_sum_to_the_logit(name):
    model, batch = with_biases(name), batch_of(name)
    terms = xattr.full_gradients(model, batch)
    scores = jax.jit(model)(batch).max(1)
    totals = sum(
        np.asarray(t, np.float64).reshape(2, -1).sum(1) for t in terms.values()
    )
    assert not np.asarray(terms.pop("score")).any()
    shares = [float(jnp.abs(t).sum()) for t in terms.values()]
    assert min(shares) > 0
    np.testing.assert_allclose(totals, scores, rtol=1e-4, atol=1e-5 * max(shares))


@ALL
def test_differences_sum_to_the_change_of_the_logit(name):
    model, batch = with_biases(name), batch_of(name)
    classes = jnp.array([1, 3])
    rise = xattr.logit(model(batch) - model(jnp.zeros_like(batch)), classes)
    maps = xattr.deeplift(model, batch, classes)
    found = np.asarray(maps, np.float64).sum((1, 2, 3))
    np.testing.assert_allclose(found, rise, rtol=1e-3)
    baselines = jnp.stack([jnp.zeros_like(batch[0]), batch[1]])
    maps = xattr.deepshap(model, batch[:1], classes[:1], baselines=baselines)
    rise = xattr.logit(
        model(batch[:1]) - model(baselines).mean(0, keepdims=True), classes[:1]
    )
    np.testing.assert_allclose(maps.sum((1, 2, 3)), rise, rtol=1e-3)


@pytest.mark.parametrize("name", SIZES)
def test_forward_passes_are_the_models(name):
    """All bits where nothing is differentiated; else to rounding, as a gradient's."""
    model, batch = with_biases(name), batch_of(name)
    ruled = replace_rules(model, relevance.epsilon_plus())
    np.testing.assert_array_equal(jax.jit(ruled)(batch), jax.jit(model)(batch))

    @jax.jit
    def differentiated(function, batch):
        outputs, pull_back = jax.vjp(function, batch)
        return outputs, pull_back(outputs)

    def off(function):
        outputs = np.asarray(differentiated(function, batch)[0], np.float64)
        return np.abs(outputs - exact).max() / np.abs(exact).max()

    with jax.enable_x64(True):
        wide = jax.tree.map(lambda w: np.asarray(w, np.float64), model)
        exact = np.asarray(jax.jit(wide)(np.asarray(batch, np.float64)))
    assert off(jax.tree_util.Partial(ruled)) <= max(off(model), 2e-6)
