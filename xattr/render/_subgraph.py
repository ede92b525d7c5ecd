"""A node of an explanatory graph, drawn among its parents and children."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from xattr.graph._graph import Graph, Placement
from xattr.render._curve_charts import INK, QUIET
from xattr.render._graph_patches import canvas, draw, node_name, node_patches
from xattr.render._graph_walk import Subgraph, subgraph

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# By level: the node's own, those above and those below, the nearest first.
_OWN, _EDGE = "#d55e00", "#b4b0a6"
_ABOVE, _BELOW = ("#0072b2", "#4aa8e0"), ("#009e73", "#c4609a")
# In inches: a node's picture, what is beside it, its name, the way to the next level,
# the layer's name at the left.
_SIDE, _SPACE, _NAME, _DROP, _LAYER, _MARGIN = 0.92, 0.3, 0.17, 0.72, 0.3, 0.2


def subgraph_figure(
    images: UInt8[np.ndarray, "i h w 3"],
    graph: Graph,
    placements: Sequence[Placement],
    layer: int,
    node: int,
    *,
    num_nodes: int = 5,
    reach: int = 1,
    size: float = 70 / 224,
) -> "Figure":
    """A node with its parents above and its children below, and where all of them are.

    Args:
      images: photographs as the network saw them.
      graph: the explanatory graph.
      placements: of its nodes in these images, one per layer.
      layer: number of the node's layer, from the top.
      node: number of the node.
      num_nodes: as in `subgraph`.
      reach: as in `subgraph`.
      size: of the patches, as in `xattr.graph.top_patches`.

    Returns:
      The figure: each node as its four best patches, lines from parents to children,
      and the two photographs in which the node scores highest, with all of them at
      their places.

    Raises:
      ValueError: as `subgraph`, or if the images are not those of the placements.
    """
    part = subgraph(graph, placements, layer, node, num_nodes=num_nodes, reach=reach)
    sites = graph.sites[part.layer : part.layer + len(part.nodes)]
    there = placements[part.layer : part.layer + len(part.nodes)]
    colors = [_color(k - layer) for k in range(part.layer, part.layer + len(sites))]
    links = [part.edges(graph, level) for level in range(len(part.nodes) - 1)]
    most = max(map(len, part.nodes))
    wide = most * (_SIDE + _SPACE) - _SPACE
    tall = len(part.nodes) * (_SIDE + _NAME + _DROP) - _DROP
    photo = min((tall - _MARGIN) / 2, 2.4)
    chart, axis = canvas(_LAYER + wide + photo + 4 * _MARGIN, tall + 2 * _MARGIN)
    places = _arranged(part, links, layer - part.layer, _MARGIN + _LAYER + wide / 2)
    for level, (site, nodes) in enumerate(zip(sites, part.nodes, strict=True)):
        top = places[level][0, 1]
        found = node_patches(
            *(images, site, there[level], nodes),
            num_patches=min(4, len(images)),
            size=size,
        )
        look = {"rotation": 90, "va": "center", "color": colors[level]}
        _write(axis, _MARGIN + 0.05, top + _SIDE / 2, site.name, **look)
        for number, patches, (x, y) in zip(
            nodes, found.patches, places[level], strict=True
        ):
            _draw_node(axis, patches, x - _SIDE / 2, y, colors[level])
            _write(axis, x, y + _SIDE + 0.12, node_name(site, number), fontsize=6)
    for level, pairs in enumerate(links):
        for a, b in pairs:
            start = places[level][a] + (0, _SIDE + _NAME)
            strong = _OWN in colors[level : level + 2]
            _draw_edge(axis, start, places[level + 1][b], strong=strong)
    scores = np.asarray(placements[layer].scores)[:, node]
    spare = tall - 2 * photo - _MARGIN
    for row, image in enumerate(np.argsort(-scores, kind="stable")[:2]):
        corner = (
            _LAYER + wide + 3 * _MARGIN,
            _MARGIN + spare / 2 + row * (photo + _MARGIN),
        )
        spots = [
            site.fractions(np.asarray(where.positions)[image, nodes])
            for site, where, nodes in zip(sites, there, part.nodes, strict=True)
        ]
        _draw_photograph(axis, images[image], corner, photo, spots, links, colors)
    return chart


def _color(offset: int) -> str:
    """Of a level so many below the node's own."""
    if not offset:
        return _OWN
    shades = _BELOW if offset > 0 else _ABOVE
    return shades[min(abs(offset), len(shades)) - 1]


def _arranged(
    part: Subgraph, links: Sequence[Sequence[tuple[int, int]]], own: int, middle: float
) -> list[np.ndarray]:
    """Upper middle of each node's picture: near those that it is linked to."""
    places: dict[int, np.ndarray] = {}
    levels = range(len(part.nodes))
    for level in sorted(levels, key=lambda level: abs(level - own)):
        count = len(part.nodes[level])
        before = level + (1 if level < own else -1)
        wish = np.full(count, middle)
        for place in range(count) if level != own else ():
            pairs = links[min(level, before)]
            ends = [(a, b) if level < own else (b, a) for a, b in pairs]
            linked = [other for mine, other in ends if mine == place]
            wish[place] = places[before][linked, 0].mean()
        slots = np.empty(count)
        slots[np.argsort(wish, kind="stable")] = np.arange(count)
        x = middle + (slots - (count - 1) / 2) * (_SIDE + _SPACE)
        y = _MARGIN + level * (_SIDE + _NAME + _DROP)
        places[level] = np.stack([x, np.full(count, y)], -1)
    return [places[level] for level in levels]


def _draw_node(
    axis: "Axes", patches: np.ndarray, left: float, top: float, color: str
) -> None:
    """Up to four patches in a square with a border of the level's color."""
    from matplotlib.patches import Rectangle

    across = 2 if len(patches) > 1 else 1
    gap = 0.02
    side = (_SIDE - gap * (across - 1)) / across
    box = {"facecolor": "white", "edgecolor": color, "linewidth": 1.6, "zorder": 2}
    edge = 0.03
    axis.add_patch(
        Rectangle((left - edge, top - edge), *(_SIDE + 2 * edge,) * 2, **box)
    )
    for k, patch in enumerate(patches):
        row, column = divmod(k, across)
        draw(axis, patch, left + column * (side + gap), top + row * (side + gap), side)


def _draw_edge(
    axis: "Axes", start: np.ndarray, end: np.ndarray, *, strong: bool
) -> None:
    """A line that leaves and arrives upright."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    bend = np.array([0, (end[1] - start[1]) / 2])
    path = Path(
        [start, start + bend, end - bend, end],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
    look = {"edgecolor": INK, "linewidth": 1.1} if strong else {"edgecolor": _EDGE}
    axis.add_patch(PathPatch(path, facecolor="none", zorder=1, **look))


def _draw_photograph(
    axis: "Axes",
    photograph: np.ndarray,
    corner: tuple[float, float],
    size: float,
    spots: Sequence[np.ndarray],
    links: Sequence[Sequence[tuple[int, int]]],
    colors: Sequence[str],
) -> None:
    """A photograph with each node at its place and lines to its parents."""
    height, width = photograph.shape[:2]
    shape = size * np.array([width, height]) / max(height, width)
    draw(axis, photograph, *corner, shape[0])
    places = [corner + spot[:, ::-1] * shape for spot in spots]
    for level, pairs in enumerate(links):
        for a, b in pairs:
            x, y = np.stack([places[level][a], places[level + 1][b]], -1)
            axis.plot(x, y, color="white", linewidth=0.9, alpha=0.75, zorder=3)
    for place, color in zip(places, colors, strict=True):
        dot = {"s": 34, "color": color, "edgecolor": "white", "linewidth": 0.9}
        axis.scatter(*place.T, zorder=5 if color == _OWN else 4, **dot)


def _write(axis: "Axes", x: float, y: float, text: str, **look) -> None:
    look = {"ha": "center", "fontsize": 7.5, "color": QUIET} | look
    axis.text(x, y, text, **look)
