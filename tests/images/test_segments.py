import sys

import jax
import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from skimage.morphology import disk

from xattr.images import segments


def quarters(size=40):
    """Four flat squares of different colors."""
    image = np.zeros((size, size, 3), np.float32)
    half = size // 2
    image[half:, :half, 0] = image[:half, half:, 1] = image[half:, half:, 2] = 1
    return image


def test_finds_the_squares():
    found = segments(quarters()[None], scales=[100], stddev=0, dilation=0)
    assert found.shape == (1, 4, 40, 40)
    assert found.dtype == bool
    np.testing.assert_array_equal(found.sum((0, 1)), 1)
    assert set(found.sum((2, 3)).ravel().tolist()) == {400}


def test_dilation_is_by_a_disk():
    plain, wide = (
        segments(quarters()[None], scales=[100], stddev=0, dilation=d) for d in (0, 5)
    )
    for region, widened in zip(plain[0], wide[0], strict=True):
        np.testing.assert_array_equal(widened, binary_dilation(region, disk(5)))


def test_units_do_not_matter_and_scales_add_up():
    image = quarters()[None]
    found = segments(image)
    np.testing.assert_array_equal(found, segments(image * 255 - 100))
    assert found.shape[1] == 6 * 4


def test_fewer_regions_are_padded_with_empty_ones():
    flat = np.full((40, 40, 3), 0.5, np.float32)
    found = segments(np.stack([flat, quarters()]), scales=[100], dilation=3)
    np.testing.assert_array_equal(found[0].sum((1, 2)), [1600, 0, 0, 0])
    np.testing.assert_array_equal(
        found[1], segments(quarters()[None], scales=[100], dilation=3)[0]
    )


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(ImportError, match=r"needs scikit-image: `pip install 'xattr"):
        segments(quarters()[None])


def test_refuses_what_is_no_batch_of_images():
    with pytest.raises(ValueError, match=r"`images` has shape .* use `images\[None\]`"):
        segments(quarters())
    with pytest.raises(ValueError, match="`scales` is empty"):
        segments(quarters()[None], scales=[])
    with pytest.raises(TypeError, match="`images` are traced by `jax.jit`"):
        jax.jit(segments)(quarters()[None])
