import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import PathPatch, Rectangle

from tests.render.graphs import SITES, sample_graph
from xattr.graph._graph import Placement
from xattr.render._graph_heat import heat_figure
from xattr.render._graph_patches import node_patches, patches_figure
from xattr.render._graph_walk import children, descend, in_turn, subgraph
from xattr.render._subgraph import subgraph_figure

PHOTOS, GRAPH, PLACEMENTS = sample_graph()


def boxes(chart):
    """Of all texts, in inches."""
    renderer = FigureCanvasAgg(chart).get_renderer()
    texts = chart.axes[0].texts
    return [text.get_window_extent(renderer).padded(-1) for text in texts]


def disjoint(areas):
    return all(not a.overlaps(b) for a, b in itertools.combinations(areas, 2))


def pictures(chart):
    """Of all pictures: left, right, bottom, top."""
    return np.array([image.get_extent() for image in chart.axes[0].images])


def test_a_row_of_patches_for_each_node():
    found = [
        node_patches(PHOTOS, SITES[k], PLACEMENTS[k], nodes, num_patches=4)
        for k, nodes in ((0, [5, 0, 2]), (1, [7]))
    ]
    chart = patches_figure(found, num_columns=2)
    texts = [text.get_text().replace("\n", ", ") for text in chart.axes[0].texts]
    assert texts == [
        *("<top>/add:0", "channel 2, node 1", "channel 0, node 0"),
        *("channel 1, node 0", "middle/add:0", "channel 2, node 1"),
    ]
    extents = pictures(chart).reshape(4, 4, 4)
    # Downwards first: the second node stands below the first, the third beside it.
    assert (extents[1, :, 3] > extents[0, :, 2]).all()
    assert (extents[2, :, 0] > extents[0, :, 1].max()).all()
    assert (extents[3, :, 3] > extents[:3, :, 2].max()).all()
    drawn = np.asarray(chart.axes[0].images[4].get_array())
    np.testing.assert_array_equal(drawn, found[0].patches[1, 0])
    assert disjoint(boxes(chart))


def test_patches_need_nodes():
    with pytest.raises(ValueError, match="`layers` has no node"):
        patches_figure([])
    with pytest.raises(ValueError, match="`nodes` run from 0 to 6, but '<top>/add:0'"):
        node_patches(PHOTOS, SITES[0], PLACEMENTS[0], [0, 6])
    one = node_patches(PHOTOS, SITES[0], PLACEMENTS[0], [0])
    with pytest.raises(ValueError, match="`num_columns`=0"):
        patches_figure([one], num_columns=0)


def test_heat_of_each_layer_beside_the_photographs():
    nothing = Placement(
        PLACEMENTS[1].positions[:2], jnp.zeros((2, 12)), jnp.zeros((2, 12))
    )
    there = [Placement(*(x[:2] for x in PLACEMENTS[0])), nothing]
    chart = heat_figure(PHOTOS[:2], SITES[:2], there, titles=["one", "two"])
    titles = [axis.get_title() for axis in chart.axes]
    assert titles == ["one", "<top>/add:0", "middle/add:0", "two", "", ""]
    notes = [text.get_text() for axis in chart.axes for text in axis.texts]
    assert notes == ["all zero"] * 2
    with pytest.raises(ValueError, match="2 `sites` and 1 `placements`"):
        heat_figure(PHOTOS[:2], SITES[:2], there[:1])


def test_children_are_those_that_have_it_as_a_parent():
    parents = np.array([[0, 1], [1, 2], [2, 0], [3, 2]])
    strengths = np.array([3.0, 5.0, 4.0, 9.0])
    assert children(parents, 2, strengths).tolist() == [3, 1, 2]
    assert children(parents, 7, strengths).tolist() == []


def test_each_list_has_its_turn():
    assert in_turn([[0, 1, 2], [], [0, 5]], 4).tolist() == [0, 1, 5, 2]
    assert in_turn([[0, 1], [2]], 2).tolist() == [0, 2]
    assert in_turn([], 2).tolist() == []


def test_the_nodes_around_a_node():
    part = subgraph(GRAPH, PLACEMENTS, 1, 4, num_nodes=2)
    assert part.layer == 0
    above, own, below = part.nodes
    assert above.tolist() == GRAPH.layers[1].parents[4][:2].tolist()
    assert own.tolist() == [4]
    strength = np.asarray(PLACEMENTS[2].scores).sum(0)
    followers = [v for v in range(20) if 4 in GRAPH.layers[2].parents[v]]
    assert below.tolist() == sorted(followers, key=lambda v: -strength[v])[:2]
    assert part.edges(GRAPH, 0) == [(0, 0), (1, 0)]
    assert part.edges(GRAPH, 1) == [(0, 0), (0, 1)]


def test_two_layers_down_every_node_gives_its_strongest_child():
    part = subgraph(GRAPH, PLACEMENTS, 0, 2, num_nodes=3, reach=2)
    assert [len(nodes) for nodes in part.nodes] == [1, 3, 3]
    assert part.layer == 0
    expected = descend(GRAPH, PLACEMENTS[2], 2, part.nodes[1], num_nodes=3)
    assert part.nodes[2].tolist() == expected.tolist()
    for a, b in part.edges(GRAPH, 1):
        assert part.nodes[1][a] in GRAPH.layers[2].parents[part.nodes[2][b]]


def test_a_subgraph_is_drawn_without_overlaps():
    chart = subgraph_figure(PHOTOS, GRAPH, PLACEMENTS, 0, 2, num_nodes=6, reach=2)
    part = subgraph(GRAPH, PLACEMENTS, 0, 2, num_nodes=6, reach=2)
    count = sum(map(len, part.nodes))
    edges = sum(len(part.edges(GRAPH, level)) for level in (0, 1))
    patches = chart.axes[0].patches
    assert sum(isinstance(patch, PathPatch) for patch in patches) == edges
    frames = [patch for patch in patches if isinstance(patch, Rectangle)]
    assert len(frames) == count
    assert disjoint([frame.get_bbox() for frame in frames])
    extents = pictures(chart)
    assert len(extents) == 4 * count + 2
    width, height = chart.get_size_inches()
    assert (extents[:, 0] > 0).all()
    assert (extents[:, 1] < width).all()
    assert (extents[:, 3] > 0).all()
    assert (extents[:, 2] < height).all()
    # The photographs stand to the right of all nodes.
    assert extents[-2:, 0].min() > extents[:-2, 1].max()
    assert disjoint(boxes(chart))


def test_nodes_of_a_photograph_are_at_their_places():
    chart = subgraph_figure(PHOTOS, GRAPH, PLACEMENTS, 1, 4, num_nodes=2)
    best = int(PLACEMENTS[1].scores[:, 4].argmax())
    left, right, bottom, top = pictures(chart)[-2]
    np.testing.assert_array_equal(
        np.asarray(chart.axes[0].images[-2].get_array()), PHOTOS[best]
    )
    own = np.asarray(chart.axes[0].collections[1].get_offsets())[0]
    row, column = (PLACEMENTS[1].positions[best, 4] + 0.5) / 8
    expected = left + column * (right - left), top + row * (bottom - top)
    np.testing.assert_allclose(own, expected, rtol=1e-5)


def test_a_node_without_relatives_is_drawn_alone():
    chart = subgraph_figure(PHOTOS, GRAPH, PLACEMENTS, 0, 0, reach=0)
    assert len(chart.axes[0].images) == 4 + 2


def test_what_is_not_in_the_graph_is_refused():
    with pytest.raises(ValueError, match="`layer`=3; the graph has 3"):
        subgraph(GRAPH, PLACEMENTS, 3, 0)
    with pytest.raises(
        ValueError, match="`node`=6; '<top>/add:0' has the nodes 0 to 5"
    ):
        subgraph(GRAPH, PLACEMENTS, 0, 6)
    with pytest.raises(ValueError, match="`placements` are of images x nodes"):
        subgraph(GRAPH, PLACEMENTS[:2], 0, 0)
