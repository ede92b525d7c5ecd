import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.oracles.resize import resize_and_cut
from xattr.images._preprocess import Preprocess

ONE_STEP = 1 / 255 + 1e-6


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )


def test_widening_by_hand():
    """Two pixels become four, at 1/4, 3/4, 5/4 and 7/4; the middle two are kept."""
    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)
    result = Preprocess(size=2, resize=2)(image)
    np.testing.assert_array_equal(result[..., 0] * 255, [[64, 191], [64, 191]])


def test_shrinking_by_hand():
    """A tent of width 2 around 1 weighs the pixels 3, 3 and 1 sevenths."""
    image = np.repeat(np.array([70, 140, 210, 70], np.uint8)[None, :, None], 4, 0)
    result = Preprocess(size=2, resize=2)(np.repeat(image, 3, 2))
    expected = [(70 * 3 + 140 * 3 + 210) / 7, (140 + 210 * 3 + 70 * 3) / 7]
    np.testing.assert_array_equal(result[0, :, 0] * 255, np.rint(expected))


def test_right_size_is_only_divided_by_255():
    image = noise(32, 32)
    result = Preprocess(size=32, resize=32)(image)
    np.testing.assert_array_equal(result, image.astype(np.float32) / np.float32(255))
    assert result.dtype == np.float32


def test_cut_without_resizing_takes_the_middle():
    """(7 - 4) / 2 = 1.5 is rounded to the even 2, (9 - 4) / 2 = 2.5 to 2."""
    image = noise(7, 9)
    result = Preprocess(size=4, resize=7)(image)
    np.testing.assert_array_equal(
        result, image[2:6, 2:6].astype(np.float32) / np.float32(255)
    )


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 1),
        (1, 7),
        (5, 3),
        (64, 48),
        (48, 64),
        (33, 200),
        (257, 91),
        (2, 90),
        (100, 3),
    ],
)
@pytest.mark.parametrize(("size", "resize"), [(28, 32), (32, 32), (13, 40)])
def test_equals_the_oracle(height, width, size, resize):
    image = noise(height, width)
    result = Preprocess(size=size, resize=resize)(image)
    expected = resize_and_cut(image, size, resize) / 255
    np.testing.assert_allclose(result, expected, atol=ONE_STEP)


@settings(max_examples=40, deadline=None)
@example(20, 40, 36, 6)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(0, 20))
def test_equals_the_oracle_at_any_size(height, width, size, more):
    """Pillow rounds between its two passes, the oracle once: seldom two steps off."""
    image = noise(height, width, seed=height)
    result = Preprocess(size=size, resize=size + more)(image)
    expected = resize_and_cut(image, size, size + more) / 255
    np.testing.assert_allclose(result, expected, atol=2 * ONE_STEP)
    assert (np.abs(result - expected) > ONE_STEP).sum() <= 1 + result.size // 1000


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_equals_pillow_on_the_whole_image(interpolation):
    from PIL import Image

    image = noise(300, 451)
    whole = Image.fromarray(image).resize(
        (int(256 * 451 / 300), 256), Image.Resampling[interpolation.upper()]
    )
    left = round((whole.width - 224) / 2)
    expected = np.asarray(whole)[16:240, left : left + 224] / np.float32(255)
    result = Preprocess(224, 256, interpolation)(image)
    np.testing.assert_array_equal(result, expected.astype(np.float32))


def test_narrow_images_equal_pillow_on_the_whole_image():
    from PIL import Image

    image = noise(20, 333)
    whole = Image.fromarray(image).resize(
        (int(32 * 333 / 20), 32), Image.Resampling.BILINEAR
    )
    left = round((whole.width - 30) / 2)
    expected = np.asarray(whole)[1:31, left : left + 30] / 255
    result = Preprocess(30, 32)(image)
    np.testing.assert_allclose(result, expected, atol=ONE_STEP)


@pytest.mark.parametrize("shape", [(1, 200_000, 3), (200_000, 1, 3)])
def test_narrow_images_cost_little(shape):
    """Resized whole, they would take 39 GB."""
    ramp = np.linspace(0, 255, 200_000).astype(np.uint8)
    image = np.broadcast_to(ramp.reshape(*shape[:2], 1), shape)
    result = Preprocess(size=224, resize=256)(image)
    assert result.shape == (224, 224, 3)
    np.testing.assert_allclose(result, 127.5 / 255, atol=0.6 / 255)


def test_presets_compare_by_value():
    assert Preprocess(224, 256) == Preprocess(224, 256)
    assert hash(Preprocess(224, 256)) != hash(Preprocess(227, 256))


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), [[[0, 0, 0]]]])
def test_other_kinds_are_refused(image):
    with pytest.raises(TypeError, match="uint8 NumPy array is needed"):
        Preprocess(2, 2)(image)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3), (1, 4, 4, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="h w 3 is needed"):
        Preprocess(2, 2)(np.zeros(shape, np.uint8))


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="`interpolation`='box' is not known"):
        Preprocess(2, 2, "box")
    with pytest.raises(ValueError, match="`size`=3 must be from 1 to `resize`=2"):
        Preprocess(3, 2)
