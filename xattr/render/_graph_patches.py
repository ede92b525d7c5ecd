"""Nodes of an explanatory graph, each by the patches that it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int, UInt8

from xattr.graph._graph import Placement, Site
from xattr.graph._patches import top_patches
from xattr.render._curve_charts import INK, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In inches: between patches, between nodes, and what their names need.
_GAP, _SPACE, _NAME, _HEAD = 0.03, 0.12, 0.8, 0.34


@dataclass(frozen=True)
class NodePatches:
    """Some nodes of a layer, and the patches that each finds.

    Attributes:
      site: of the layer.
      nodes: their numbers, in the order in which they are shown.
      patches: of each, the best first.
    """

    site: Site
    nodes: Int[np.ndarray, " n"]
    patches: UInt8[np.ndarray, "n p s s 3"]


def node_patches(
    images: UInt8[np.ndarray, "i h w 3"],
    site: Site,
    placement: Placement,
    nodes: Int[np.ndarray, " n"] | Sequence[int],
    *,
    num_patches: int = 5,
    size: float = 70 / 224,
) -> NodePatches:
    """What some nodes of a layer find in images.

    Args:
      images: photographs as the network saw them.
      site: of the layer.
      placement: of all nodes of the layer in these images.
      nodes: numbers of those to be shown.
      num_patches: as in `xattr.graph.top_patches`.
      size: likewise.

    Returns:
      The nodes with their patches.

    Raises:
      ValueError: as `xattr.graph.top_patches`, or if a node is not one of the layer.

    Example:
      >>> photo = np.zeros((1, 8, 8, 3), np.uint8)
      >>> one = np.ones((1, 1))
      >>> there = Placement(np.ones((1, 1, 2)), one, one)
      >>> found = node_patches(
      ...     photo, Site("conv", 3, 3, 1, 1), there, [0], num_patches=1
      ... )
      >>> found.patches.shape
      (1, 1, 2, 2, 3)
    """
    nodes = np.asarray(nodes, int)
    scores = np.asarray(placement.scores)
    if nodes.size and not 0 <= nodes.min() <= nodes.max() < scores.shape[1]:
        raise ValueError(
            f"`nodes` run from {nodes.min()} to {nodes.max()}, but {site.name!r} has "
            f"the nodes 0 to {scores.shape[1] - 1}."
        )
    positions = site.fractions(np.asarray(placement.positions)[:, nodes])
    patches = top_patches(
        images, positions, scores[:, nodes], num_patches=num_patches, size=size
    )
    return NodePatches(site, nodes, patches)


def node_name(site: Site, node: int) -> str:
    """A node by its channel and its place among the channel's nodes, from 0.

    Example:
      >>> node_name(Site("conv", 7, 7, 512, 10), 123)
      'channel 12, node 3'
    """
    channel, place = divmod(int(node), site.nodes_per_channel)
    return f"channel {channel}, node {place}"


def patches_figure(
    layers: Sequence[NodePatches], *, num_columns: int = 2, size: float = 0.62
) -> "Figure":
    r"""A row of patches for each node, layer by layer.

    Args:
      layers: nodes with their patches, as `node_patches` makes them.
      num_columns: nodes side by side; a column is read downwards.
      size: side of a patch, in inches.

    Returns:
      The figure, made of pictures and text, without global state.

    Raises:
      ValueError: if there is no node, or `num_columns` is below 1.

    Example:
      >>> patches = np.zeros((3, 5, 8, 8, 3), np.uint8)
      >>> found = NodePatches(Site("conv", 7, 7, 4, 2), np.array([6, 0, 3]), patches)
      >>> chart = patches_figure([found])
      >>> [text.get_text() for text in chart.axes[0].texts][:2]
      ['conv', 'channel 3\nnode 0']
    """
    if num_columns < 1:
        raise ValueError(f"`num_columns`={num_columns} must be at least 1.")
    if not any(len(layer.nodes) for layer in layers):
        raise ValueError("`layers` has no node; at least one is needed.")
    most = max(layer.patches.shape[1] for layer in layers)
    width = _NAME + most * (size + _GAP) + 2 * _SPACE
    rows = [-(-len(layer.nodes) // num_columns) for layer in layers]
    height = sum(_HEAD + count * (size + _SPACE) for count in rows)
    chart, axis = canvas(width * num_columns, height + _SPACE)
    top = 0.0
    for layer, count in zip(layers, rows, strict=True):
        axis.text(
            *(_SPACE, top + _HEAD / 2, layer.site.name),
            **{"va": "center", "fontsize": 9, "fontweight": "bold", "color": INK},
        )
        top += _HEAD
        for place, node in enumerate(layer.nodes):
            column, row = divmod(place, count)
            left, y = column * width + _SPACE, top + row * (size + _SPACE)
            name = node_name(layer.site, node).replace(", ", "\n")
            axis.text(
                *(left, y + size / 2, name),
                **{"va": "center", "fontsize": 7.5, "color": QUIET},
            )
            for k, patch in enumerate(layer.patches[place]):
                draw(axis, patch, left + _NAME + k * (size + _GAP), y, size)
        top += count * (size + _SPACE)
    return chart


def canvas(width: float, height: float) -> tuple["Figure", "Axes"]:
    """A figure to draw on in inches, from its upper left corner."""
    from matplotlib.figure import Figure

    chart = Figure(figsize=(width, height), dpi=150, facecolor="white")
    axis = chart.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return chart, axis


def draw(
    axis: "Axes", picture: np.ndarray, left: float, top: float, width: float
) -> None:
    """A picture at a place of a canvas, its height by its shape."""
    height = width * picture.shape[0] / picture.shape[1]
    extent = (left, left + width, top + height, top)
    axis.imshow(picture, extent=extent, aspect="auto", zorder=2)
