import numpy as np
import pytest

from xattr.render import overlay

PHOTO = np.random.default_rng(0).integers(0, 255, (12, 10, 3), np.uint8)
RAMP = np.linspace(-1, 1, 12).reshape(3, 4)


def test_no_opacity_leaves_the_photograph():
    out = overlay(PHOTO, RAMP, alpha=0.0, gray=False)
    np.testing.assert_array_equal(out, PHOTO)


def test_gray_is_the_luma():
    out = overlay(PHOTO, RAMP, alpha=0.0)
    luma = PHOTO @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(out, np.repeat(luma[..., None], 3, -1), atol=0.51)


def test_blending_is_linear_in_alpha():
    none, half, full = (
        overlay(PHOTO, RAMP, alpha=a).astype(int) for a in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(half, (none + full) / 2, atol=1.01)


def test_the_sign_shows_only_when_asked_for():
    signed = overlay(PHOTO, RAMP, alpha=1.0)
    assert signed[0, 0, 2] > signed[0, 0, 0]
    assert signed[-1, -1, 0] > signed[-1, -1, 2]
    absolute = overlay(PHOTO, RAMP, alpha=1.0, signed=False)
    np.testing.assert_allclose(absolute[0, 0].astype(int), absolute[-1, -1], atol=4)


def test_bytes_and_unit_interval_are_alike():
    np.testing.assert_array_equal(
        overlay(PHOTO, RAMP), overlay(PHOTO.astype(np.float32) / 255, RAMP)
    )


@pytest.mark.parametrize("shape", [(12, 10), (12, 10, 3), (12, 10, 1), (2, 2)])
def test_every_kind_of_map_is_taken(shape):
    out = overlay(PHOTO, np.ones(shape))
    assert out.shape == PHOTO.shape
    assert out.dtype == np.uint8


@pytest.mark.parametrize(
    ("value", "state"), [(0.0, "all zero"), (np.nan, "not finite"), (np.inf, "not fin")]
)
def test_nothing_is_drawn_from_a_broken_map(value, state):
    with pytest.raises(ValueError, match=f"`map` is {state}"):
        overlay(PHOTO, np.full((2, 2), value))


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"`alpha` must be in \[0, 1\], got 2"):
        overlay(PHOTO, RAMP, alpha=2)
    with pytest.raises(ValueError, match="floating point must be in"):
        overlay(PHOTO.astype(np.float32), RAMP)
