import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.perturbations_rise import mask as oracle
from xattr.images import grid_masks
from xattr.images._masks import enlarge_cells

RULES = ["mirrored", "bilinear", "nearest"]
compiled = jax.jit(enlarge_cells, static_argnames=("size", "resize"))
drawn = jax.jit(grid_masks, static_argnames=("size", "grid", "keep", "resize"))
SIDES = st.tuples(st.integers(1, 23), st.integers(1, 23))


@settings(max_examples=40, deadline=None)
@given(SIDES, st.integers(1, 6), st.sampled_from(RULES), st.integers(0, 2**31))
def test_it_is_a_part_of_the_enlarged_grid(size, grid, resize, seed):
    rng = np.random.default_rng(seed)
    cells = rng.random((grid, grid)).astype(np.float32)
    offsets = [rng.integers(0, -(-length // grid)) for length in size]
    found = compiled(jnp.asarray(cells), np.array(offsets), size, resize)
    expected = oracle(cells, (offsets[0], offsets[1]), size, resize)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_mirrored_rule_is_that_of_scikit_image():
    transform = pytest.importorskip("skimage.transform")
    cells = np.random.default_rng(0).random((3, 3)).astype(np.float32)
    large = transform.resize(
        cells, (16, 16), order=1, mode="reflect", anti_aliasing=False
    )
    found = enlarge_cells(jnp.asarray(cells), jnp.array([2, 1]), (12, 12))
    np.testing.assert_allclose(found, large[2:14, 1:13], atol=1e-5)


@pytest.mark.parametrize("resize", RULES)
def test_every_pixel_is_kept_as_often_as_a_cell(key, resize):
    num, keep = 4000, 0.3
    masks = drawn(jax.random.split(key, num), (9, 10), grid=4, keep=keep, resize=resize)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1 + 1e-6
    # Each mean has at most the spread of a cell's; 5 sigma for 90 pixels: 5e-5.
    error = 5 * np.sqrt(keep * (1 - keep) / num)
    np.testing.assert_allclose(masks.mean(0), keep, atol=error)


def test_the_grid_is_shifted(key):
    masks = drawn(jax.random.split(key, 64), (8, 8), grid=2, resize="nearest")
    edges = jnp.abs(jnp.diff(masks, axis=2)).max((0, 1))
    assert edges.tolist() == [0, 0, 1, 1, 1, 1, 0]


def test_volumes(key):
    masks = drawn(key[None], (4, 6, 5), grid=2)
    assert masks.shape == (1, 4, 6, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 0}, "`grid`=0; it must be at least 1"),
        ({"keep": 0.0}, "`keep`=0.0; it must be a probability above 0"),
        ({"keep": 1.5}, "`keep`=1.5; it must be a probability above 0"),
        ({"resize": "cubic"}, "`resize`='cubic' is unknown; it must be 'mirrored'"),
    ],
)
def test_what_it_refuses(key, options, message):
    with pytest.raises(ValueError, match=message):
        grid_masks(key[None], (4, 4), **options)
