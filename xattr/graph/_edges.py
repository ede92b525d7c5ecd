"""Which nodes of the layer above go with a node."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from xattr.graph._graph import Placement

# Nodes at a time: what they have with 600 candidates in some hundred images stays in
# the processor's cache.
_BATCH = 16


def candidate_parents(
    above: Placement, *, border: tuple[float, float], num_candidates: int
) -> tuple[Int[Array, " c"], Float[Array, " c"]]:
    """Nodes above that others may follow, the strongest first, and which are there.

    Of all nodes the half is left out that moves least, and those near the border of the
    map. Where fewer are left than are kept, the strongest of the others fill up.

    Args:
      above: where the nodes above are in the images.
      border: height and width of the map, whose outer tenth is the border.
      num_candidates: how many are kept.

    Returns:
      Numbers of nodes, and 1 for each that may be chosen, 0 for those that fill up.
    """
    count = above.scores.shape[1]
    mean = above.positions.mean(0)
    moves = ((above.positions - mean[None]) ** 2).mean(0).sum(-1)
    strength = above.scores.sum(0)
    by_strength = jnp.argsort(-strength, stable=True)
    still = jnp.argsort(moves[by_strength], stable=True)[: count // 2]
    kept = jnp.ones(count, bool).at[still].set(False)
    sides = jnp.array(border, mean.dtype)
    share = (mean[by_strength] + 0.5) / sides[None]
    kept &= ((share >= 0.1) & (share <= 0.9)).all(-1)
    first = jnp.argsort(~kept, stable=True)[:num_candidates]
    return by_strength[first], kept[first].astype(mean.dtype)


def choose_parents(
    below: Placement,
    above: Placement,
    *,
    strides: tuple[float, float],
    border: tuple[float, float],
    num_parents: int,
    num_candidates: int,
) -> Int[Array, "v m"]:
    r"""For each node the nodes above that move as it does where it is active.

    With $D$ the way of a node from its mean position, in pixels, and $A$ the activation
    that node $V$ explains at its position in image $I$, the parents are those $V'$ with
    the largest

    $$ \sum_I A_{VI} \exp\Big(-\frac{|D_{VI} - D_{V'I}|^2}{2 m_V}\Big), $$

    where $m_V$ is the mean of $|D_{VI} - D_{V'I}|^2$ over images and candidates.

    Args:
      below: the nodes that follow.
      above: the nodes to follow.
      strides: pixels from cell to cell, below and above.
      border: height and width of the map above.
      num_parents: how many each node has.
      num_candidates: how many of the nodes above can be parents.
    """
    chosen, there = candidate_parents(
        above, border=border, num_candidates=num_candidates
    )
    own = jnp.moveaxis(strides[0] * _ways(below), 0, -1)
    theirs = jnp.moveaxis(strides[1] * _ways(above)[:, chosen], -1, 0)
    known = there.sum()
    square = (theirs**2).sum(0) @ there / known
    middle = theirs @ there / known

    def of_node(node: tuple) -> Int[Array, " m"]:
        way, peaks = node
        spread = ((way**2).sum(0) + square - 2 * (way * middle).sum(0)).mean()
        apart = (way[0, :, None] - theirs[0]) ** 2 + (way[1, :, None] - theirs[1]) ** 2
        near = jnp.exp(-apart / (2 * jnp.maximum(spread, 1e-12)))
        together = jnp.where(there > 0, peaks @ near, -1)
        return chosen[jax.lax.top_k(together, num_parents)[1]]

    return jax.lax.map(of_node, (own, below.peaks.T), batch_size=_BATCH)


def _ways(placement: Placement) -> Float[Array, "i v 2"]:
    """From where each node is in the mean to where it is."""
    return placement.positions - placement.positions.mean(0, keepdims=True)
