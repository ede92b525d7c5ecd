import numpy as np
import pytest

from xattr.cli.methods import pad_segments


@pytest.mark.parametrize(
    ("count", "size"), [(1, 64), (64, 64), (65, 128), (128, 128), (200, 256)]
)
def test_numbers_of_segments_are_few(count, size):
    segments = np.random.default_rng(0).random((2, count, 3, 4)) > 0.5
    padded = pad_segments(segments)
    assert padded.shape == (2, size, 3, 4)
    assert padded.dtype == bool
    np.testing.assert_array_equal(padded[:, :count], segments)
    assert not padded[:, count:].any()


def test_xrai_takes_padded_segments():
    from xattr.cli.methods import METHODS

    images = np.random.default_rng(1).random((1, 24, 24, 3), np.float32)
    prepare = METHODS["xrai"].prepare
    assert prepare is not None
    assert prepare(images)["segments"].shape == (1, 64, 24, 24)
