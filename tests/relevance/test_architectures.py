"""Full gradients of networks as they are used, with biases everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr

SIZES = {
    "cifar10_resnet20": 32,
    "mobilenet_v2_torchvision": 64,
    "squeezenet1_1": 64,
    "resnet18": 64,
    "resnet50": 64,
    "vgg11": 64,
    "vgg11_bn": 64,
}


def with_biases(name):
    """Scales, biases and statistics that are not those of a new network."""
    model = xattr.from_nnx(xattr.models.untrained(name, num_classes=5))
    random = np.random.default_rng(0)

    def shifted(x):
        return x + random.uniform(0.1, 0.4, x.shape).astype(x.dtype) * (x.ndim == 1)

    return xattr.Model(model.apply, jax.tree.map(shifted, model.params))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "cifar10_resnet20" else pytest.mark.slow)
        for name in SIZES
    ],
)
def test_terms_sum_to_the_logit(name):
    model, size = with_biases(name), SIZES[name]
    batch = jax.random.uniform(jax.random.key(0), (2, size, size, 3))
    terms = xattr.full_gradients(model, batch)
    scores = jax.jit(model)(batch).max(1)
    totals = sum(
        np.asarray(t, np.float64).reshape(2, -1).sum(1) for t in terms.values()
    )
    assert not np.asarray(terms.pop("score")).any()
    shares = [float(jnp.abs(t).sum()) for t in terms.values()]
    assert min(shares) > 0
    np.testing.assert_allclose(totals, scores, rtol=1e-4, atol=1e-5 * max(shares))
