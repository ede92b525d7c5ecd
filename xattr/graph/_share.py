"""How much of a layer's activation its nodes explain."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.graph._constants import Constants
from xattr.graph._expectation import at_cells
from xattr.graph._graph import Features, Graph, Layer, Placement
from xattr.graph._sweep import (
    Above,
    above_next,
    expected,
    mass_of,
    ratio_of,
    side_of,
)


def explained_shares(
    graph: Graph,
    features: dict[str, Features],
    placements: tuple[Placement, ...],
) -> tuple[Float[Array, " i"], ...]:
    r"""Share of each layer's activation that nodes explain, of each image.

    With $F$ the activation of the units and $P$ the nodes' densities there,

    $$ \sum_x F_x \frac{\sum_V P(x|V)}{\sum_V P(x|V) + \tau} \Big/ \sum_x F_x ; $$

    the rest falls to what no node explains, whose density $\tau$ is `Constants.tau`
    times that of the nodes, averaged over the map.

    Args:
      graph: as it was learnt.
      features: of the images at its sites.
      placements: of its nodes in the same images, as `infer` returns them.

    Returns:
      Numbers in [0, 1], one per image and layer; 0 where nothing is active.

    Notes:
      Nodes whose densities were the same everywhere would explain $1 / (1 + \tau)$,
      0.909 by default, whatever they look at: only what is above that is owed to where
      nodes are. In learning, what no node explains has `Constants.tau` times the mean
      of the nodes' densities summed over their candidates, which is more: there it
      takes a larger share.
    """
    found = []
    for number, (site, layer) in enumerate(zip(graph.sites, graph.layers, strict=True)):
        above = above_next(graph.sites, graph.layers, placements[:number])
        found.append(
            _shares(layer, features[site.name], above, constants=graph.constants)
        )
    return tuple(found)


@partial(jax.jit, static_argnames="constants")
def _shares(
    layer: Layer, features: Features, above: Above | None, *, constants: Constants
) -> Float[Array, " i"]:
    _, height, width, channels = features.levels.shape
    ratio = ratio_of(features, above, constants.compat)
    ways, prior_of = expected(layer, side_of(features), above, ratio)

    def of_image(image: tuple) -> Float[Array, ""]:
        levels, moved = image
        mass = mass_of(features, levels)
        rows, columns = at_cells(mass, prior_of(moved))
        nodes = jnp.einsum("dnh,dnw->dhw", rows, columns)
        none = constants.tau * nodes.sum() / (height * width * channels)
        total = mass.sum()
        explained = (mass * nodes / (nodes + none)).sum()
        return explained / jnp.where(total > 0, total, 1)

    return jax.lax.map(of_image, (features.levels, ways))
