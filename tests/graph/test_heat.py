import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import graph_patches as oracle
from xattr.graph._graph import Placement, Site
from xattr.graph._heat import heat_map

SITE = Site("conv", 7, 5, 2, 3)


def placed(positions, scores):
    return Placement(jnp.asarray(positions), jnp.asarray(scores), jnp.asarray(scores))


def test_it_is_the_sum_of_the_nodes():
    rng = np.random.default_rng(0)
    cells = rng.uniform(-0.5, 5, (2, 6, 2)).astype(np.float32)
    scores = rng.random((2, 6)).astype(np.float32)
    maps = heat_map(placed(cells, scores), SITE, size=(14, 10), stddev=0.13)
    # Two pixels for each cell: the first cell's middle lies between them.
    pixels = 2 * cells + 0.5
    expected = oracle.heat(pixels, scores, size=(14, 10), stddev=1.3)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)


def test_a_node_alone_has_its_score_at_its_place():
    cells, scores = np.full((1, 6, 2), 2.0, np.float32), np.zeros((1, 6), np.float32)
    scores[0, 4] = 3
    maps = np.asarray(heat_map(placed(cells, scores), SITE, size=(7, 5)))
    assert np.unravel_index(maps[0].argmax(), (7, 5)) == (2, 2)
    assert maps[0, 2, 2] == 3


def test_arguments_are_checked():
    there = placed(np.zeros((1, 6, 2), np.float32), np.zeros((1, 6), np.float32))
    with pytest.raises(ValueError, match="`stddev`=0; it must be positive"):
        heat_map(there, SITE, size=(7, 5), stddev=0)
    with pytest.raises(ValueError, match="`size` must be two positive numbers"):
        heat_map(there, SITE, size=(7, 0))
