"""All images once: what the nodes of a layer explain, and where they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.graph._agreement import Prior, guided, unguided
from xattr.graph._constants import Candidates, Compat
from xattr.graph._everywhere import explain_everywhere
from xattr.graph._expectation import Explained, density, explain
from xattr.graph._graph import Features, Layer, Placement, Site


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["layer", "placement"],
    meta_fields=["height", "width"],
)
@dataclass(frozen=True)
class Above:
    """The layer above, and where its nodes are in the same images.

    Attributes:
      layer: as it was learnt.
      placement: of its nodes.
      height: of its map.
      width: of its map.
    """

    layer: Layer
    placement: Placement
    height: int
    width: int


def above_next(
    sites: Sequence[Site], layers: Sequence[Layer], placements: Sequence[Placement]
) -> Above | None:
    """What guides the layer after those that are placed; None for the top layer."""
    if not placements:
        return None
    number = len(placements) - 1
    site = sites[number]
    return Above(layers[number], placements[number], site.height, site.width)


def side_of(features: Features) -> float:
    """Side of the map in cells, that of the square of the same area."""
    _, height, width, _ = features.levels.shape
    return sqrt(height * width)


def ratio_of(features: Features, above: Above | None, compat: Compat) -> float:
    """How many cells of this layer a cell above is long."""
    if above is None or compat == "matlab":
        return 1.0
    return side_of(features) / sqrt(above.height * above.width)


def sweep(
    layer: Layer,
    features: Features,
    above: Above | None,
    *,
    tau: float,
    candidates: Candidates,
    ratio: float,
) -> tuple[Float[Array, " v"], Explained, Placement]:
    """Place all nodes in all images, one image after another.

    Args:
      layer: the nodes.
      features: of the images.
      above: what guides the nodes; None if nothing does.
      tau: density of what no node explains, as a share of the nodes' mean one.
      candidates: where nodes can be.
      ratio: cells of this layer that a cell above stands for, as `ratio_of` says.

    Returns:
      How far nodes are expected to stray, what they explain of all images together, and
      where they are, with scores that are not divided by their mean.
    """
    side = side_of(features)
    ways, prior_of = expected(layer, side, above, ratio)
    fixed = prior_of(None)
    at = partial(
        density,
        scales=layer.scales,
        side=side,
        channels=features.step.size,
        tau=tau,
    )
    # Unguided nodes are expected at the same place in all images.
    everywhere = at(fixed) if above is None and candidates == "windows" else None

    def one(levels: Float[Array, "h w d"], ways: Float[Array, "u 2"]) -> Explained:
        mass, prior = mass_of(features, levels), prior_of(ways)
        if candidates == "cells":
            return explain_everywhere(mass, prior, tau)
        return explain(mass, prior, everywhere or at(prior), side)

    def add(totals: Explained, image: tuple) -> tuple[Explained, Placement]:
        found = one(*image)
        kept = Placement(found.positions, found.scores, found.peaks)
        return jax.tree.map(jnp.add, totals, found), kept

    shapes = jax.eval_shape(one, *jax.tree.map(lambda x: x[0], (features.levels, ways)))
    start = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    totals, placement = jax.lax.scan(add, start, (features.levels, ways))
    return fixed.stddevs, totals, placement


def expected(
    layer: Layer, side: float, above: Above | None, ratio: float
) -> tuple[Float[Array, "i u 2"] | None, Callable[[Array | None], Prior]]:
    """How the nodes above have moved in each image, and the prior by such a row.

    The prior by None is that of an image in which none has moved.
    """
    if above is None:
        return None, lambda _: unguided(layer.means, side)
    scales = ratio * above.layer.scales
    still = jnp.zeros_like(above.layer.means)

    def prior(ways: Float[Array, "u 2"] | None) -> Prior:
        moved = still if ways is None else ways
        return guided(layer.means, layer.parents, moved, scales)

    ways = above.placement.positions - above.layer.resting[None]
    return ratio * ways, prior


def mass_of(features: Features, levels: Float[Array, "h w d"]) -> Float[Array, "d h w"]:
    """What is active in an image, the channels first."""
    dtype = features.step.dtype
    mass = jnp.maximum(levels.astype(dtype) * features.step[None, None], 0)
    return jnp.moveaxis(mass, -1, 0)


def rested(layer: Layer, placement: Placement) -> tuple[Layer, Placement]:
    """The layer with where its nodes mostly are, and scores in units of their mean."""
    strength = placement.scores.mean()
    strength = jnp.where(strength > 0, strength, 1)
    layer = layer._replace(resting=placement.positions.mean(0), strength=strength)
    return layer, placement._replace(scores=placement.scores / strength)
