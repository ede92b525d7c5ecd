import sys

import jax
import numpy as np
import pytest

from tests.images.test_segments import quarters
from xattr.images import superpixels

ALGORITHMS = ("slic", "quickshift", "felzenszwalb")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_pixel_is_in_exactly_one(algorithm, channels):
    noise = np.random.default_rng(0).random((2, 40, 30, channels))
    found = superpixels(noise, algorithm=algorithm)
    assert found.dtype == bool
    assert found.shape[0] == 2
    assert found.shape[2:] == (40, 30)
    np.testing.assert_array_equal(found.sum(1), 1)


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [("slic", {"n_segments": 4}), ("felzenszwalb", {"sigma": 0}), ("quickshift", {})],
)
def test_no_superpixel_crosses_an_edge(algorithm, options):
    (found,) = superpixels(quarters()[None], algorithm=algorithm, **options)
    for mask in found:
        assert len(np.unique(quarters()[mask], axis=0)) == 1


def test_slic_gives_about_as_many_as_asked_for():
    noise = np.random.default_rng(0).random((1, 64, 64, 1))
    for wanted in (16, 64):
        found = superpixels(noise, n_segments=wanted, compactness=100)
        assert 0.7 * wanted <= found.shape[1] <= 1.3 * wanted


def test_units_do_not_matter_and_runs_are_alike():
    image = np.random.default_rng(0).random((1, 32, 32, 3))
    for algorithm in ALGORITHMS:
        found = superpixels(image, algorithm=algorithm)
        scaled = superpixels(image * 256 - 64, algorithm=algorithm)
        np.testing.assert_array_equal(found, scaled)


def test_fewer_are_padded_with_empty_ones():
    flat = np.full((40, 40, 3), 0.5, np.float32)
    batch = np.stack([flat, quarters()])
    found = superpixels(batch, algorithm="felzenszwalb", sigma=0)
    np.testing.assert_array_equal(found.sum((2, 3)), [[1600, 0, 0, 0], [400] * 4])


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(
        ImportError, match=r"superpixels` needs scikit-image: `pip inst"
    ):
        superpixels(quarters()[None])


def test_what_it_refuses():
    with pytest.raises(ValueError, match="`algorithm`='watershed' is none of slic"):
        superpixels(quarters()[None], algorithm="watershed")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`images` has shape .* use `images\[None\]`"):
        superpixels(quarters())
    with pytest.raises(TypeError, match=r"call `xattr.images.superpixels\(images\)`"):
        jax.jit(superpixels)(quarters()[None])
