"""How much of a layer's activation its nodes explain."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.graph._agreement import Prior
from xattr.graph._constants import Constants
from xattr.graph._expectation import at_cells, density
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

    the rest falls to what no node explains, whose density $\tau$ is the one of
    learning: `Constants.tau` times the nodes' mean density, summed over candidates.

    Args:
      graph: as it was learnt.
      features: of the images at its sites.
      placements: of its nodes in the same images, as `infer` returns them.

    Returns:
      Numbers in [0, 1], one per image and layer; 0 where nothing is active.
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
    side = side_of(features)
    ratio = ratio_of(features, above, constants.compat)
    ways, prior_of = expected(layer, side, above, ratio)

    def nobodys(prior: Prior) -> Float[Array, ""]:
        if constants.candidates == "cells":
            return constants.tau * prior.agreement.mean()
        channels = features.step.size
        return density(prior, layer.scales, side, channels, constants.tau).none

    def of_image(image: tuple) -> Float[Array, ""]:
        levels, moved = image
        mass = mass_of(features, levels)
        prior = prior_of(moved)
        rows, columns = at_cells(mass, prior)
        nodes = jnp.einsum("dnh,dnw->dhw", rows, columns)
        whole, total = nodes + nobodys(prior), mass.sum()
        # Where all densities are too small to be numbers, nothing is explained.
        explained = (mass * nodes / jnp.where(whole > 0, whole, 1)).sum()
        return explained / jnp.where(total > 0, total, 1)

    return jax.lax.map(of_image, (features.levels, ways))
