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
from xattr.render._names import plain_name
from xattr.render._overlay import blend, overlay
from xattr.render._page import Explanation, Layer, PageHead, Skipped, Turn, embed, page
from xattr.render._speed_chart import speed_faithfulness_chart
from xattr.render._summary import MapCounts, Summary

__all__ = [
    "Cell",
    "Chart",
    "Column",
    "ComparisonHead",
    "Example",
    "Explanation",
    "Layer",
    "MapCounts",
    "PageHead",
    "Row",
    "Skipped",
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
    "overlay",
    "page",
    "plain_name",
    "randomization_chart",
    "speed_faithfulness_chart",
]
