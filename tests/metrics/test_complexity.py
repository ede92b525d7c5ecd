import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import metrics_correlations as oracle
from xattr.metrics import effective_size, entropy, gini

MAPS = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
MAPS[0, :2] = 0


@pytest.mark.parametrize("name", ["gini", "entropy"])
def test_they_are_their_definitions(name):
    metric = {"gini": gini, "entropy": entropy}[name]
    expected = [getattr(oracle, name)(values) for values in MAPS.astype(float)]
    for maps in (MAPS, MAPS[..., None], -7 * MAPS, MAPS[:, ::-1]):
        np.testing.assert_allclose(metric(jnp.asarray(maps)), expected, rtol=1e-5)


def test_of_one_pixel_of_all_and_of_none():
    one, all_, none = np.zeros((3, 5, 4), np.float32)
    one[2, 3], all_[:] = -2, 3
    maps = jnp.stack([one, all_, none])
    np.testing.assert_allclose(gini(maps), [0.95, 0, np.nan], atol=1e-6)
    np.testing.assert_allclose(entropy(maps), [0, np.log(20), np.nan], rtol=1e-6)
    np.testing.assert_array_equal(effective_size(maps), [1, 20, 0])


def test_effective_size_counts_above_a_share_of_the_largest():
    maps = jnp.array([[[0.0, 0.1, -0.5, 0.6, 1.0]], [[1.0, 2.0, -4.0, 8.0, 16.0]]])
    np.testing.assert_array_equal(effective_size(maps), [4, 5])
    np.testing.assert_array_equal(effective_size(maps, threshold=0.5), [2, 1])


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="`threshold`=-1"):
        effective_size(jnp.ones((1, 2, 2)), threshold=-1)
    for metric in (gini, entropy, effective_size):
        with pytest.raises(ValueError, match="channel_sum"):
            metric(jnp.ones((1, 2, 2, 3)))
