import jax.numpy as jnp
import numpy as np

from xattr.graph._graph import Features
from xattr.graph._raw_peaks import raw_peaks


def test_finds_each_channels_maximum_in_each_image():
    rng = np.random.default_rng(0)
    # Few levels, so that maxima are often shared: the first one counts.
    levels = rng.integers(0, 6, (3, 4, 5, 7)).astype(np.uint8)
    step = rng.uniform(0.5, 2, 7).astype(np.float32)
    found = raw_peaks(Features(jnp.asarray(levels), jnp.asarray(step)))
    for i in range(3):
        for d in range(7):
            channel = levels[i, :, :, d]
            first = np.argwhere(channel == channel.max())[0]
            assert found.positions[i, d].tolist() == first.tolist()
            np.testing.assert_allclose(found.scores[i, d], channel.max() * step[d])
    np.testing.assert_array_equal(found.scores, found.peaks)


def test_levels_may_be_floats_and_a_silent_channel_scores_zero():
    levels = np.zeros((1, 2, 2, 2), np.float32)
    levels[0, 1, 0, 0] = 0.25
    found = raw_peaks(Features(jnp.asarray(levels), jnp.ones(2)))
    assert found.positions.tolist() == [[[1.0, 0.0], [0.0, 0.0]]]
    assert found.scores.tolist() == [[0.25, 0.0]]
