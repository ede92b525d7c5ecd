import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles import segmentation as oracle
from xattr.images import component

find = jax.jit(component, static_argnames="neighbors")


@pytest.mark.parametrize("neighbors", [4, 8])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.3, 0.5, 0.6, 0.8, 1]))
def test_it_is_what_one_reaches(neighbors, seed, share):
    noise = np.random.default_rng(seed)
    masks = noise.random((2, 9, 13)) < share
    pixels = np.stack([noise.integers(0, 9, 2), noise.integers(0, 13, 2)], axis=1)
    expected = [
        oracle.component(mask, tuple(pixel), neighbors)
        for mask, pixel in zip(masks, pixels, strict=True)
    ]
    found = find(jnp.asarray(masks), jnp.asarray(pixels), neighbors=neighbors)
    np.testing.assert_array_equal(found, expected)


def test_around_corners():
    """A spiral is one region, however often it bends."""
    rows = ["#######", "......#", "#####.#", "#...#.#", "#.###.#", "#.....#", "#######"]
    spiral = np.array([[letter == "#" for letter in row] for row in rows])
    found = find(jnp.asarray(spiral[None]), jnp.array([[4, 2]]))
    np.testing.assert_array_equal(found[0], spiral)
    hole = find(jnp.asarray(~spiral[None]), jnp.array([[1, 0]]))
    np.testing.assert_array_equal(hole[0], ~spiral)


def test_a_pixel_that_is_not_in_the_mask():
    masks = jnp.array([[[True, False]]] * 3)
    found = find(masks, jnp.array([[0, 1], [1, 0], [0, -1]]))
    assert not found.any()


def test_other_neighborhoods_are_refused():
    with pytest.raises(ValueError, match="`neighbors`=6 is no way .* Allowed: 4, 8"):
        component(jnp.ones((1, 2, 2), bool), jnp.array([[0, 0]]), neighbors=6)
