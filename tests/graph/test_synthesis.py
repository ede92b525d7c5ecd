import jax.numpy as jnp
import numpy as np
import pytest

from xattr.graph._graph import Placement, Site
from xattr.graph._synthesis import kept_units, pattern_activations

SITE = Site("conv", 4, 5, 3, 10)
RNG = np.random.default_rng(0)
POSITIONS = RNG.uniform(-0.9, 4.9, (2, 30, 2)).astype(np.float32)
SCORES = RNG.random((2, 30)).astype(np.float32)


def placed(positions, scores):
    return Placement(jnp.asarray(positions), jnp.asarray(scores), jnp.asarray(scores))


@pytest.mark.parametrize(("share", "count"), [(0.1, 3), (0.11, 4), (0.5, 15), (1, 30)])
def test_units_of_the_strongest_nodes(share, count):
    expected = np.zeros((2, 4, 5, 3), bool)
    for image in range(2):
        ranked = sorted(range(30), key=lambda node: -SCORES[image, node])
        for node in ranked[:count]:
            row, column = POSITIONS[image, node]
            cell = (
                min(range(4), key=lambda i: abs(i - row)),
                min(range(5), key=lambda j: abs(j - column)),
            )
            expected[image, *cell, node // 10] = True
    found = kept_units(placed(POSITIONS, SCORES), SITE, share=share)
    np.testing.assert_array_equal(found, expected)


def test_a_node_that_explains_nothing_is_not_kept():
    scores = np.zeros((2, 30), np.float32)
    scores[1, 29] = 1
    units = np.asarray(kept_units(placed(POSITIONS, scores), SITE))
    assert units.sum((1, 2, 3)).tolist() == [0, 1]
    assert units[1, ..., 2].any()


def test_activations_of_these_units_alone():
    activations = jnp.asarray(RNG.normal(size=(2, 4, 5, 3)), jnp.float32)
    there = placed(POSITIONS, SCORES)
    kept = np.asarray(pattern_activations(activations, there, SITE, share=0.2))
    units = np.asarray(kept_units(there, SITE, share=0.2))
    np.testing.assert_array_equal(kept[units], np.asarray(activations)[units])
    assert (kept[~units] == 0).all()
    assert (kept < 0).any()


def test_arguments_are_checked():
    there = placed(POSITIONS, SCORES)
    with pytest.raises(ValueError, match=r"`share`=0 must be in \(0, 1\]"):
        kept_units(there, SITE, share=0)
    with pytest.raises(ValueError, match="30 nodes, but `site`='other' has 3 x 2"):
        kept_units(there, Site("other", 4, 5, 3, 2))
    with pytest.raises(ValueError, match=r"`activations` has shape \(1, 4, 5, 3\)"):
        pattern_activations(jnp.zeros((1, 4, 5, 3)), there, SITE)
