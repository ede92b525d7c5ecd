"""Maps as pictures: overlays, figures and a page to look at."""

from xattr.render._colormap import color_bar, colorize
from xattr.render._display import drawable
from xattr.render._figure import figure
from xattr.render._names import plain_name
from xattr.render._overlay import blend, overlay
from xattr.render._page import Explanation, Layer, PageHead, Skipped, Turn, embed, page
from xattr.render._summary import MapCounts, Summary

__all__ = [
    "Explanation",
    "Layer",
    "MapCounts",
    "PageHead",
    "Skipped",
    "Summary",
    "Turn",
    "blend",
    "color_bar",
    "colorize",
    "drawable",
    "embed",
    "figure",
    "overlay",
    "page",
    "plain_name",
]
