import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.apart import apart
from tests.oracles import perturbations_features as oracles
from tests.perturbations import games


def test_it_is_the_loop_over_features():
    with jax.enable_x64(True):
        model, x, fill = games.case()
        found = xattr.feature_ablation(
            model, x, [1, 3], grid=games.GRID, baseline=fill, chunk_size=5
        )
        for i, target in enumerate([1, 3]):
            play = games.game(model, x[i], fill[i], target)
            expected = oracles.ablation(play, games.NUM)
            got = games.by_cell(found)[i]
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_cells_of_one_pixel_are_occlusion(key):
    model = games.additive(jax.random.normal(key, (1, 6, 5, 3)))
    x = jax.random.normal(jax.random.key(1), (2, 6, 5, 3))
    np.testing.assert_allclose(
        xattr.feature_ablation(model, x, grid=(6, 5), baseline=0.5),
        xattr.occlusion(model, x, window=1, stride=1, baseline=0.5),
        rtol=1e-4,
        atol=1e-5,
    )


def test_tables_are_images_with_one_spatial_axis():
    x = jnp.array([[1.0, 2.0, 4.0]])
    found = xattr.feature_ablation(lambda x: x.sum(1), x[:, :, None], grid=3)
    assert found[..., 0].tolist() == [[1, 2, 4]]


@pytest.mark.parametrize(("size", "grid"), [((9, 7), (4, 3)), apart((5, 12), (5, 5))])
def test_cells_are_the_same_as_given_segments(size, grid):
    """A grid goes by local update, segments by evaluating whole images."""
    model = networks.tiny_convnet(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, *size, 3))
    owner, num = oracles.cells(size, grid), math.prod(grid)
    masks = jnp.asarray(owner == np.arange(num)[:, None, None])[None]
    method = functools.partial(xattr.feature_ablation, baseline=0.3)
    found = method(model, x, [0, 2], grid=grid)
    expected = method(model, x, [0, 2], segments=masks)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
