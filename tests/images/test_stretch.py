import numpy as np
import pytest

from xattr.images import Preprocess, Stretch
from xattr.images._stretch import squares


def test_an_image_of_that_size_is_kept():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    stretch = Stretch(height=4, width=6)
    np.testing.assert_array_equal(stretch.pixels(image), image)
    np.testing.assert_array_equal(stretch(image), image.astype(np.float32) / 255)
    assert stretch.shape == (4, 6, 3)


def test_nothing_is_cut():
    """The first and last quarter of a long image are the first and last column."""
    image = np.zeros((2, 8, 3), np.uint8)
    image[:, :2], image[:, 6:] = 40, 200
    found = Stretch(height=1, width=4).pixels(image)
    assert found.shape == (1, 4, 3)
    assert found[0, 0, 0] < found[0, 3, 0]
    assert 20 < found[0, 0, 0] < 41
    assert 100 < found[0, 3, 0] < 201


@pytest.mark.parametrize("sides", [(0, 4), (4, -1)])
def test_sides_are_at_least_one(sides):
    with pytest.raises(ValueError, match=r"must be at least 1: `Stretch\(height=360"):
        Stretch(*sides)


def test_bad_interpolations_and_images_are_refused():
    with pytest.raises(ValueError, match="`interpolation`='box' is not known"):
        Stretch(2, 2, "box")
    with pytest.raises(TypeError, match="uint8 NumPy array is needed"):
        Stretch(2, 2)(np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match="h w 3 is needed"):
        Stretch(2, 2)(np.zeros((4, 4), np.uint8))


def test_where_squares_are_needed():
    square = Preprocess(size=2, resize=3)
    assert squares(square, "net") is square
    with pytest.raises(ValueError, match="'net' takes images of 360 x 480 and names a"):
        squares(Stretch(360, 480), "net")
