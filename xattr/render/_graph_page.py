"""A page to walk an explanatory graph on, from its top nodes down."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from xattr._checks import check_count
from xattr.graph._graph import Graph, Placement
from xattr.graph._patches import node_strengths, top_nodes
from xattr.render._graph_patches import node_name, node_patches
from xattr.render._graph_walk import check_placements, children, descend
from xattr.render._page import embed
from xattr.render._template import template


@dataclass(frozen=True)
class GraphHead:
    """What stands above the nodes.

    Attributes:
      model: the model's name.
      data: what the images are.
      facts: further settings as label and text.
      notice: a warning, such as that the graph was learnt from few images.
    """

    model: str
    data: str
    facts: Sequence[tuple[str, str]] = ()
    notice: str = ""


@dataclass(frozen=True)
class _Node:
    """A node as the page shows it.

    Attributes:
      key: of its section and its picture.
      name: such as "channel 12, node 3".
      layer: number of its layer, from the top.
      rank: place among the layer's nodes by strength, from 1.
      spot: where it mostly is, as shares of the image.
      picture: its patches side by side.
      parents: keys of those on the page, those first that go with it most.
      children: keys of those on the page, the strongest first.
      num_parents: how many it has in the graph.
      num_children: likewise.
    """

    key: str
    name: str
    layer: int
    rank: int
    spot: tuple[float, float]
    picture: str
    parents: list[str]
    children: list[str]
    num_parents: int
    num_children: int


def graph_page(
    head: GraphHead,
    images: UInt8[np.ndarray, "i h w 3"],
    graph: Graph,
    placements: Sequence[Placement],
    *,
    num_top: int = 24,
    num_nodes: int = 96,
    num_patches: int = 5,
    size: float = 70 / 224,
    side: int = 64,
) -> str:
    """An HTML page with the strongest nodes, each linked to its parents and children.

    Args:
      head: what stands above.
      images: photographs as the network saw them.
      graph: the explanatory graph.
      placements: of its nodes in these images, one per layer.
      num_top: how many nodes of the top layer are on the page, the strongest.
      num_nodes: how many of each layer below: of the nodes above that are on the page,
        each gives its strongest children in turn.
      num_patches: as in `xattr.graph.top_patches`.
      size: likewise.
      side: of an embedded patch, in pixels. The page's size is some 2 kB for each patch
        of 64 pixels, and does not depend on the size of the graph.

    Returns:
      The page: styles, script and pictures inside, each picture once, all text escaped,
      and a content security policy that lets it fetch nothing. One node is shown at a
      time, by its address, so that the browser's own way back leads back.

    Raises:
      ValueError: if placements are not those of the graph or of the images, there are
        fewer images than patches, or a number is below 1.
    """
    for name, value in {
        "num_top": num_top,
        "num_nodes": num_nodes,
        "side": side,
    }.items():
        check_count(name, value)
    check_placements(graph, placements)
    shown = [top_nodes(np.asarray(placements[0].scores), num_nodes=num_top)]
    for below in range(1, len(graph.layers)):
        found = descend(graph, placements[below], below, shown[-1], num_nodes=num_nodes)
        shown.append(found)
    strengths = [node_strengths(np.asarray(where.scores)) for where in placements]
    layers = []
    for layer, (site, nodes) in enumerate(zip(graph.sites, shown, strict=True)):
        patches = node_patches(
            *(images, site, placements[layer], nodes),
            num_patches=num_patches,
            size=size,
        ).patches
        layers.append(
            [
                _node(graph, strengths, shown, layer, int(node), _strip(found, side))
                for node, found in zip(nodes, patches, strict=True)
            ]
        )
    nodes = {node.key: node for layer in layers for node in layer}
    return template("graph.html").render(
        head=head,
        sites=graph.sites,
        layers=layers,
        nodes=nodes,
        totals=[len(each) for each in strengths],
        num_images=len(images),
        num_patches=num_patches,
    )


def _node(
    graph: Graph,
    strengths: Sequence[Float[np.ndarray, " v"]],
    shown: Sequence[Int[np.ndarray, " n"]],
    layer: int,
    node: int,
    picture: str,
) -> _Node:
    """A node with those of its parents and children that are on the page."""
    above = below = shown_above = shown_below = np.zeros(0, int)
    if layer:
        above = np.asarray(graph.layers[layer].parents)[node]
        shown_above = shown[layer - 1]
    if layer + 1 < len(shown):
        parents = np.asarray(graph.layers[layer + 1].parents)
        below = children(parents, node, strengths[layer + 1])
        shown_below = shown[layer + 1]
    resting = np.asarray(graph.layers[layer].resting)[node]
    row, column = np.clip(graph.sites[layer].fractions(resting), 0, 1)
    return _Node(
        key=_key(layer, node),
        name=node_name(graph.sites[layer], node),
        layer=layer,
        rank=1 + int((strengths[layer] > strengths[layer][node]).sum()),
        spot=(float(row), float(column)),
        picture=picture,
        parents=[_key(layer - 1, n) for n in above[np.isin(above, shown_above)]],
        children=[_key(layer + 1, n) for n in below[np.isin(below, shown_below)]],
        num_parents=len(above),
        num_children=len(below),
    )


def _key(layer: int, node: int) -> str:
    return f"node-{layer}-{int(node)}"


def _strip(patches: UInt8[np.ndarray, "p s s 3"], side: int) -> str:
    """A node's patches side by side, encoded."""
    count = len(patches)
    return embed(np.concatenate(list(patches), axis=1), side=count * side)
