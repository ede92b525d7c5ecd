"""What an explanatory graph is: layers of nodes, and where they are in images."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from xattr.graph._constants import Constants


class Features(NamedTuple):
    """Activations of a site in many images, in units of what other images show.

    What does not exceed zero is zero: only what is there is explained.

    Attributes:
      levels: how active each unit is, in steps of `step`.
      step: of each channel.
    """

    levels: UInt8[Array, "i h w d"] | Float[Array, "i h w d"]
    step: Float[Array, " d"]


class Layer(NamedTuple):
    """The nodes of one site, as they were learnt; those of a channel lie together.

    Positions are (row, column) in cells of the site: 0 is the middle of the first cell.

    Attributes:
      means: where each node is if its parents are where they mostly are.
      scales: how far it strays from where a parent says.
      parents: nodes of the layer above that say where it is; none in the top layer.
      resting: its mean inferred position in the images that it was learnt from.
      strength: mean score of the layer's nodes in those images, the unit of scores.
    """

    means: Float[Array, "v 2"]
    scales: Float[Array, " v"]
    parents: Int[Array, "v m"]
    resting: Float[Array, "v 2"]
    strength: Float[Array, ""]


class Placement(NamedTuple):
    """Where the nodes of a layer are in images, and how sure that is.

    Attributes:
      positions: (row, column) in cells of the site; 0 is the middle of the first cell.
      scores: activation that each node explains, in units of the layer's mean.
      peaks: the same at the position alone, in no unit.
    """

    positions: Float[Array, "i v 2"]
    scores: Float[Array, "i v"]
    peaks: Float[Array, "i v"]


@dataclass(frozen=True)
class Site:
    """Where in a network a layer's nodes live.

    Attributes:
      name: of the site.
      height: of its grid.
      width: of its grid.
      channels: how many it has; node `v` looks at channel `v // nodes_per_channel`.
      nodes_per_channel: how many nodes look at each.
    """

    name: str
    height: int
    width: int
    channels: int
    nodes_per_channel: int

    def fractions(self, positions: Float[np.ndarray, "... 2"]) -> np.ndarray:
        """Positions as shares of the image's height and width.

        Example:
          >>> Site("conv", 7, 7, 1, 1).fractions(np.array([3.0, 0.0])).round(3).tolist()
          [0.5, 0.071]
        """
        return (np.asarray(positions) + 0.5) / np.array([self.height, self.width])


@dataclass(frozen=True)
class Graph:
    """An explanatory graph, from its top layer down.

    Attributes:
      sites: of the layers.
      layers: what was learnt; parents of layer `k` are nodes of layer `k - 1`.
      stds: of each unit of a site in other images, the unit of its activations; none
        where features were given as they are.
      constants: what learning went by.
    """

    sites: tuple[Site, ...]
    layers: tuple[Layer, ...]
    stds: tuple[Float[np.ndarray, "h w d"], ...] = ()
    constants: Constants = Constants()
