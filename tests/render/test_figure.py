import io
import sys

import numpy as np
import pytest

from xattr.render import figure

PHOTOS = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
MAPS = np.random.default_rng(1).normal(size=(2, 4, 4)).astype(np.float32)


def test_rows_are_photographs_and_columns_methods():
    chart = figure(PHOTOS, {"gradient": MAPS, "grad_cam": MAPS}, titles=["cat", "dog"])
    assert len(chart.axes) == 6
    assert [axis.get_title() for axis in chart.axes] == [
        *("cat", "Gradient", "Grad-CAM", "dog", "", "")
    ]
    assert all(len(axis.images) == 1 for axis in chart.axes)


def test_it_can_be_saved_without_a_screen():
    buffer = io.BytesIO()
    figure(PHOTOS, MAPS).savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_no_global_state_is_touched():
    before = "matplotlib.pyplot" in sys.modules
    figure(PHOTOS, MAPS)
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_a_broken_map_is_noted_and_not_drawn():
    maps = MAPS.copy()
    maps[0, 0, 0] = np.nan
    maps[1] = 0
    chart = figure(PHOTOS, maps, gray=False)
    texts = [text.get_text() for axis in chart.axes for text in axis.texts]
    assert texts == ["not finite", "all zero"]
    drawn = np.asarray(chart.axes[1].images[0].get_array())
    np.testing.assert_array_equal(drawn, np.rint(PHOTOS[0] * 255).astype(np.uint8))


def test_counts_must_agree():
    with pytest.raises(ValueError, match="`maps` has 1 maps for 2 photographs"):
        figure(PHOTOS, MAPS[:1])
    with pytest.raises(ValueError, match=r"`maps`\['cam'\] has 1 maps"):
        figure(PHOTOS, {"cam": MAPS[:1]})
    with pytest.raises(ValueError, match="`titles` has 1 texts"):
        figure(PHOTOS, MAPS, titles=["one"])
    with pytest.raises(ValueError, match="`images` is empty"):
        figure(PHOTOS[:0], MAPS[:0])
