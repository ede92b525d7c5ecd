import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import graph_using as oracle
from xattr.graph._and_or import (
    PartTemplates,
    fit_part,
    joined_nodes,
    locate_part,
    mean_position,
    normalized_distance,
)
from xattr.graph._graph import Placement, Site


@pytest.mark.parametrize(
    ("grid", "decay", "reach"), [(9, 0.2, 0.25), (8, 0.05, 0.125), (5, 1.0, 0.0)]
)
def test_votes_equal_a_loop_over_cells_and_nodes(grid, decay, reach):
    rng = np.random.default_rng(0)
    # Some of the votes fall outside.
    positions = rng.uniform(size=(4, 10, 2))
    scores = rng.uniform(size=(4, 10))
    nodes = np.array([7, 2, 3, 5, 0])
    templates = PartTemplates(nodes, rng.uniform(-0.4, 0.4, (3, 5, 2)))
    found = locate_part(
        templates, positions, scores, grid=grid, decay=decay, reach=reach
    )
    for i in range(4):
        at, score, template = oracle.vote(
            templates.displacements,
            positions[i, nodes],
            scores[i, nodes],
            grid,
            decay,
            reach,
        )
        np.testing.assert_allclose(found.scores[i], score, rtol=1e-5)
        np.testing.assert_allclose(found.positions[i], at, rtol=1e-6)
        assert found.templates[i] == template


def moving(rng, images, ways, stray):
    """Nodes around a part that moves; those that stray lie anywhere."""
    part = rng.uniform(0.35, 0.65, (images, 2))
    positions = part[:, None] - ways
    positions[:, stray] = rng.uniform(size=(images, len(stray), 2))
    return part, positions


def test_however_small_a_share_one_node_votes():
    positions, scores = np.full((1, 3, 2), 0.5), np.array([[1.0, 3.0, 2.0]])
    found = fit_part(positions, scores, np.full((1, 2), 0.5), share=1e-9)
    assert found.nodes.tolist() == [1]


def test_a_part_is_found_by_the_nodes_that_go_with_it():
    rng = np.random.default_rng(0)
    ways = rng.uniform(-0.3, 0.3, (40, 2))
    stray = np.arange(10, 40)
    part, positions = moving(rng, 20, ways, stray)
    scores = rng.uniform(0.9, 1.1, (20, 40))
    templates = fit_part(positions[:5], scores[:5], part[:5], share=0.25)
    assert set(templates.nodes.tolist()) == set(range(10))
    found = locate_part(templates, positions[5:], scores[5:])
    assert normalized_distance(found.positions, part[5:]).max() < 1 / 112
    alone = normalized_distance(mean_position(part[:5]), part[5:])
    assert alone.mean() > 0.03


def test_one_annotation_chooses_the_nodes_that_score_most():
    positions = np.random.default_rng(0).uniform(size=(1, 20, 2))
    scores = np.arange(20.0)[None]
    found = fit_part(positions, scores, np.array([[0.5, 0.5]]))
    assert found.nodes.tolist() == [19, 18]
    np.testing.assert_allclose(found.displacements, 0.5 - positions[:, [19, 18]])


def test_the_penalty_weighs_variance_against_score():
    # The way of node 0 is -0.1 and +0.1: a variance of 0.01.
    positions = np.array([[[0.6, 0.5], [0.5, 0.5]], [[0.4, 0.5], [0.5, 0.5]]])
    scores = np.array([[3.0, 2.0], [1.0, 1.0]])
    part = np.full((2, 2), 0.5)
    chosen = {
        penalty: fit_part(positions, scores, part, share=0.5, penalty=penalty).nodes[0]
        for penalty in (49.0, 51.0)
    }
    assert chosen == {49.0: 0, 51.0: 1}


def test_each_pose_has_its_template():
    # The object looks left or right: the way to the part turns round.
    ways = np.array([[0.0, 0.2], [0.1, 0.3], [-0.2, 0.1]])
    rng = np.random.default_rng(0)
    part = rng.uniform(0.4, 0.6, (8, 2))
    turn = np.array([1, -1] * 4)
    mirrored = ways * np.stack([np.ones(8), turn], -1)[:, None]
    positions, scores = part[:, None] - mirrored, np.ones((8, 3))
    templates = fit_part(positions[:2], scores[:2], part[:2], share=1.0)
    found = locate_part(templates, positions[2:], scores[2:])
    assert normalized_distance(found.positions, part[2:]).max() < 1 / 112
    assert found.templates.tolist() == [0, 1] * 3


def test_no_vote_in_the_image_is_no_number():
    templates = PartTemplates(np.array([0]), np.array([[[2.0, 2.0]]]))
    found = locate_part(templates, np.zeros((1, 1, 2)), np.ones((1, 1)), grid=4)
    assert np.isnan(found.positions).all()
    assert found.scores.tolist() == [0]


def test_layers_join_as_shares():
    top = Placement(jnp.ones((2, 3, 2)), jnp.ones((2, 3)), jnp.ones((2, 3)))
    low = Placement(jnp.ones((2, 4, 2)), 2 * jnp.ones((2, 4)), jnp.ones((2, 4)))
    sites = [Site("a", 2, 3, 3, 1), Site("b", 4, 6, 2, 2)]
    positions, scores = joined_nodes([top, low], sites)
    assert positions.shape == (2, 7, 2)
    np.testing.assert_allclose(positions[0, 0], [0.75, 0.5])
    np.testing.assert_allclose(positions[1, 6], [0.375, 0.25])
    assert scores[0].tolist() == [1, 1, 1, 2, 2, 2, 2]
    with pytest.raises(ValueError, match="of 1 layers and `sites` of 2"):
        joined_nodes([top], sites)


def test_distance_is_a_share_of_the_diagonal():
    found = normalized_distance(
        np.array([[0.0, 0.0], [0.5, 0.5]]), np.array([[1.0, 1.0], [np.nan, np.nan]])
    )
    np.testing.assert_allclose(found, [1, np.nan])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"annotations": np.full((2, 2), np.nan)}, "`annotations`="),
        ({"annotations": np.full((2, 2), 80.0)}, r"in \[0, 1\]"),
        ({"annotations": np.zeros((3, 2))}, "a v 2, a v and a 2"),
        ({"share": 0.0}, "`share`=0.0"),
        ({"penalty": -1.0}, "`penalty`=-1.0"),
    ],
)
def test_errors_of_fitting(change, match):
    given = {
        "positions": np.zeros((2, 3, 2)),
        "scores": np.ones((2, 3)),
        "annotations": np.zeros((2, 2)),
    } | change
    with pytest.raises(ValueError, match=match):
        fit_part(**given)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scores": np.ones((1, 2)), "positions": np.zeros((1, 2, 2))}, "by node 2"),
        ({"grid": 0}, "`grid`=0"),
        ({"decay": 0.0}, "`decay`=0.0"),
        ({"reach": -1.0}, "`reach`=-1.0"),
    ],
)
def test_errors_of_locating(change, match):
    given = {
        "templates": PartTemplates(np.array([2]), np.zeros((1, 1, 2))),
        "positions": np.zeros((1, 3, 2)),
        "scores": np.ones((1, 3)),
    } | change
    with pytest.raises(ValueError, match=match):
        locate_part(**given)
