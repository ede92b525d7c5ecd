"""Where in photographs the nodes of each layer are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from xattr.graph._graph import Placement, Site
from xattr.graph._heat import heat_map
from xattr.render._figure import figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def heat_figure(
    images: UInt8[np.ndarray, "i h w 3"],
    sites: Sequence[Site],
    placements: Sequence[Placement],
    *,
    titles: Sequence[str] | None = None,
    stddev: float = 0.04,
    alpha: float = 0.85,
    size: float = 2.2,
) -> "Figure":
    """A row for each photograph: the photograph, then each layer's heat map on it.

    Args:
      images: photographs as the network saw them.
      sites: of the layers.
      placements: of each layer's nodes in these images.
      titles: a text for each photograph.
      stddev: as in `xattr.graph.heat_map`.
      alpha: as in `overlay`.
      size: side of one picture, in inches.

    Returns:
      The figure. Each map is scaled by its own maximum; where no node explains
      anything, the photograph stands alone, with a note.

    Raises:
      ValueError: if sites and placements differ in number, or a placement is of another
        number of images.

    Example:
      >>> photo, one = np.zeros((1, 8, 8, 3), np.uint8), np.ones((1, 1))
      >>> there = Placement(np.ones((1, 1, 2)), one, one)
      >>> chart = heat_figure(photo, [Site("conv", 3, 3, 1, 1)], [there])
      >>> [axis.get_title() for axis in chart.axes]
      ['', 'conv']
    """
    if not sites or len(sites) != len(placements):
        raise ValueError(
            f"There are {len(sites)} `sites` and {len(placements)} `placements`; one "
            "placement for each layer is needed."
        )
    heights = images.shape[1:3]
    maps = {
        str(number): heat_map(placement, site, size=heights, stddev=stddev)
        for number, (site, placement) in enumerate(zip(sites, placements, strict=True))
    }
    chart = figure(images, maps, titles=titles, signed=False, alpha=alpha, size=size)
    for axis, site in zip(chart.axes[1:], sites, strict=False):
        axis.set_title(site.name, fontsize=9)
    return chart
