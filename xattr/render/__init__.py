"""Maps as pictures: overlays, figures and a page to look at."""

from xattr.render._agreement_chart import agreement_chart
from xattr.render._colormap import color_bar, colorize
from xattr.render._comparison import (
    Cell,
    Chart,
    Column,
    ComparisonHead,
    Example,
    Row,
    comparison_page,
)
from xattr.render._curve_charts import deletion_insertion_chart, randomization_chart
from xattr.render._display import drawable
from xattr.render._figure import figure
from xattr.render._graph_heat import heat_figure
from xattr.render._graph_page import GraphHead, graph_page
from xattr.render._graph_patches import (
    NodePatches,
    node_name,
    node_patches,
    patches_figure,
)
from xattr.render._graph_walk import Subgraph, subgraph
from xattr.render._names import plain_name
from xattr.render._overlay import blend, overlay
from xattr.render._page import Explanation, Layer, PageHead, Skipped, Turn, embed, page
from xattr.render._speed_chart import speed_faithfulness_chart
from xattr.render._subgraph import subgraph_figure
from xattr.render._summary import MapCounts, Summary

__all__ = [
    "Cell",
    "Chart",
    "Column",
    "ComparisonHead",
    "Example",
    "Explanation",
    "GraphHead",
    "Layer",
    "MapCounts",
    "NodePatches",
    "PageHead",
    "Row",
    "Skipped",
    "Subgraph",
    "Summary",
    "Turn",
    "agreement_chart",
    "blend",
    "color_bar",
    "colorize",
    "comparison_page",
    "deletion_insertion_chart",
    "drawable",
    "embed",
    "figure",
    "graph_page",
    "heat_figure",
    "node_name",
    "node_patches",
    "overlay",
    "page",
    "patches_figure",
    "plain_name",
    "randomization_chart",
    "speed_faithfulness_chart",
    "subgraph",
    "subgraph_figure",
]
