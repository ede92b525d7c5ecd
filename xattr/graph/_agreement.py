"""Where the nodes of the layer above say that a node is, and how much they agree."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Prior(NamedTuple):
    """Where nodes are expected in an image, before it is looked at.

    Attributes:
      centers: middle of a normal density of each node.
      stddevs: of the density, along either axis.
      agreement: what it is multiplied by.
    """

    centers: Float[Array, "v 2"]
    stddevs: Float[Array, " v"]
    agreement: Float[Array, " v"]


def unguided(means: Float[Array, "v 2"], side: float) -> Prior:
    """What is expected without a layer above: the mean position, roughly."""
    ones = jnp.ones_like(means[:, 0])
    return Prior(means, 0.15 * side * ones, ones)


def guided(
    means: Float[Array, "v 2"],
    parents: Int[Array, "v m"],
    displacements: Float[Array, "u 2"],
    scales: Float[Array, " u"],
) -> Prior:
    r"""What is expected where a layer above is known.

    The densities of a node's $M$ parents, each to the power $1/M$, make up one normal
    density, at a mean shift $\bar d$ with weights $w = 1 / M \sigma^2$:

    $$ s = \Big(\sum w\Big)^{-1/2}, \qquad \lambda = s \prod
       \frac{1}{\sigma} e^{- |\bar d - d|^2 / 2 M \sigma^2} $$

    Args:
      means: of the nodes.
      parents: of each.
      displacements: of the nodes above from where they mostly are, in cells of this
        layer.
      scales: how far the nodes above stray, in the same.
    """
    count = parents.shape[1]
    moved, strays = displacements[parents], scales[parents]
    weights = 1 / (count * strays**2)
    total = weights.sum(1)
    shift = (weights[..., None] * moved).sum(1) / total[:, None]
    apart = ((shift[:, None] - moved) ** 2).sum(-1)
    stddevs = total**-0.5
    logs = -apart * weights / 2 - jnp.log(strays)
    return Prior(means + shift, stddevs, stddevs * jnp.exp(logs.sum(1)))
