import numpy as np
import pytest

from xattr.render import color_bar, colorize


@pytest.mark.parametrize("signed", [True, False])
def test_zero_is_transparent_and_the_ends_are_opaque(signed):
    alpha = colorize(np.array([-1.0, 0.0, 1.0]), signed=signed)[:, 3]
    assert alpha.tolist() == [255, 0, 255]


def test_signed_is_red_for_and_blue_against():
    against, favor = colorize(np.array([-1.0, 1.0]), signed=True)[:, :3].astype(int)
    assert against[2] > against[0] + 50
    assert favor[0] > favor[2] + 50


def test_absolute_ignores_the_sign():
    values = np.linspace(0, 1, 33)
    np.testing.assert_allclose(
        colorize(-values, signed=False).astype(int),
        colorize(values, signed=False).astype(int),
        atol=6,
    )


@pytest.mark.parametrize("signed", [True, False])
def test_opacity_rises_with_the_magnitude(signed):
    for values in (np.linspace(0, 1, 50), -np.linspace(0, 1, 50)):
        alpha = colorize(values, signed=signed)[:, 3].astype(int)
        assert (np.diff(alpha) >= 0).all()


def test_values_beyond_the_ends_are_cut_and_shapes_kept():
    values = np.array([[-7.0, 7.0]])
    out = colorize(values, signed=True)
    assert out.shape == (1, 2, 4)
    np.testing.assert_array_equal(out, colorize(np.sign(values), signed=True))


def test_nan_has_no_color():
    with pytest.raises(ValueError, match="`values` holds NaN"):
        colorize(np.array([np.nan]), signed=True)


def test_color_bar_runs_from_end_to_end():
    low, high = colorize(np.array([-1.0, 1.0]), signed=True)
    bar = color_bar(signed=True)
    assert f"rgba({low[0]}, {low[1]}, {low[2]}, 1.00)" in bar
    assert f"rgba({high[0]}, {high[1]}, {high[2]}, 1.00)" in bar
    assert ", 0.00)" in color_bar(signed=False)
