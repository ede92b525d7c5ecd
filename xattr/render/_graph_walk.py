"""From a node of an explanatory graph to its parents and its children."""

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from xattr.graph._graph import Graph, Placement
from xattr.graph._patches import node_strengths


class Subgraph(NamedTuple):
    """Some nodes of consecutive layers.

    Attributes:
      layer: number of the first of them, from the top of the graph.
      nodes: of each layer, in the order in which they were found.
    """

    layer: int
    nodes: tuple[Int[np.ndarray, " n"], ...]

    def edges(self, graph: Graph, level: int) -> list[tuple[int, int]]:
        """Places of parents in a level, and of children in the one below it."""
        parents = np.asarray(graph.layers[self.layer + level + 1].parents)
        above, below = self.nodes[level], self.nodes[level + 1]
        linked = (parents[below][:, None] == above[:, None]).any(-1)
        return [(int(a), int(b)) for b, a in np.argwhere(linked)]


def children(
    parents: Int[np.ndarray, "v m"], node: int, strengths: Float[np.ndarray, " v"]
) -> Int[np.ndarray, " c"]:
    """The nodes of the layer below that follow a node, the strongest first.

    Args:
      parents: of the nodes of the layer below.
      node: whose children are wanted.
      strengths: of the nodes of the layer below, as `xattr.graph.node_strengths`.

    Returns:
      Numbers of nodes of the layer below.

    Example:
      >>> parents = np.array([[0, 1], [1, 2], [2, 0]])
      >>> children(parents, 1, np.array([3.0, 5.0, 4.0])).tolist()
      [1, 0]
    """
    found = np.flatnonzero((np.asarray(parents) == node).any(1))
    return found[np.argsort(-strengths[found], kind="stable")]


def subgraph(
    graph: Graph,
    placements: Sequence[Placement],
    layer: int,
    node: int,
    *,
    num_nodes: int = 5,
    reach: int = 1,
) -> Subgraph:
    """A node, the best of its parents and children, and of theirs.

    Args:
      graph: the explanatory graph.
      placements: of its nodes in some images, one per layer.
      layer: number of the node's layer, from the top.
      node: number of the node.
      num_nodes: how many of each other layer. Every node of the level before gives its
        best in turn: of parents, those that go with it most; of children, the
        strongest.
      reach: how many layers up and how many down.

    Returns:
      The nodes of each layer, from the top.

    Raises:
      ValueError: if the graph has no such layer or node, or the placements are not of
        its layers.

    Example:
      >>> from xattr.graph._graph import Layer, Site
      >>> one = np.ones((1, 2))
      >>> there = Placement(np.ones((1, 2, 2)), one, one)
      >>> layers = tuple(
      ...     Layer(np.ones((2, 2)), np.ones(2), parents, np.ones((2, 2)), np.ones(()))
      ...     for parents in (np.zeros((2, 0), int), np.array([[1], [1]]))
      ... )
      >>> graph = Graph((Site("conv", 3, 3, 2, 1),) * 2, layers)
      >>> [nodes.tolist() for nodes in subgraph(graph, [there] * 2, 0, 1).nodes]
      [[1], [0, 1]]
    """
    check_placements(graph, placements)
    if not 0 <= layer < len(graph.layers):
        raise ValueError(
            f"`layer`={layer}; the graph has {len(graph.layers)}: 0, the top, to "
            f"{len(graph.layers) - 1}."
        )
    count = len(np.asarray(graph.layers[layer].means))
    if not 0 <= node < count:
        raise ValueError(
            f"`node`={node}; {graph.sites[layer].name!r} has the nodes "
            f"0 to {count - 1}."
        )
    levels = [np.array([node])]
    for above in range(layer, max(layer - reach, 0), -1):
        parents = np.asarray(graph.layers[above].parents)
        levels.insert(0, in_turn(parents[levels[0]], num_nodes))
    for below in range(layer + 1, min(layer + reach, len(graph.layers) - 1) + 1):
        levels.append(
            descend(graph, placements[below], below, levels[-1], num_nodes=num_nodes)
        )
    kept = [level for level in levels if len(level)]
    return Subgraph(max(layer - reach, 0), tuple(kept))


def descend(
    graph: Graph,
    placement: Placement,
    below: int,
    nodes: Int[np.ndarray, " n"],
    *,
    num_nodes: int,
) -> Int[np.ndarray, " c"]:
    """Children of some nodes in layer `below`, the best of each node in turn."""
    strengths = node_strengths(np.asarray(placement.scores))
    parents = np.asarray(graph.layers[below].parents)
    return in_turn(
        [children(parents, int(node), strengths) for node in nodes], num_nodes
    )


def in_turn(lists: Iterable[Iterable[int]], count: int) -> Int[np.ndarray, " n"]:
    """The first of each list, then the second of each, none of them twice.

    Example:
      >>> in_turn([[4, 2, 7], [4, 5]], 3).tolist()
      [4, 2, 5]
    """
    turns = chain.from_iterable(zip_longest(*lists))
    found = dict.fromkeys(int(node) for node in turns if node is not None)
    return np.array(list(found)[:count], int)


def check_placements(graph: Graph, placements: Sequence[Placement]) -> None:
    """Raise unless there is one for every layer, of its nodes and the same images."""
    shapes = [np.shape(placement.scores) for placement in placements]
    nodes = [len(np.asarray(layer.means)) for layer in graph.layers]
    if [shape[1] for shape in shapes] != nodes or len({s[0] for s in shapes}) != 1:
        raise ValueError(
            f"`placements` are of images x nodes {shapes}; the graph's layers have "
            f"{nodes} nodes, from the top: infer one placement per layer, all in the "
            "same images."
        )
