"""Which activation each node explains in an image (the E-step)."""

from math import pi, sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.graph._agreement import Prior
from xattr.graph._windows import BINS, Windows, spread, windows


class Density(NamedTuple):
    """The prior at the candidates of each node, which no activation changes.

    Attributes:
      windows: where the candidates are.
      own: each node's density at its candidates.
      all: of all nodes of the channel together, each at its nearest candidate.
      none: constant density of what no node explains.
    """

    windows: Windows
    own: Float[Array, "d n b b"]
    all: Float[Array, "d n b b"]
    none: Float[Array, ""]


class Explained(NamedTuple):
    """What nodes explain of an image.

    Attributes:
      positions: of each node, the best candidate.
      scores: density times activation, summed over the candidates.
      peaks: the same at the best candidate.
      weight: activation times responsibility, summed over the candidates.
      pull: the same, times the way from the expected position.
      stray: density times activation times squared way from the window's middle.
      log_likelihood: of all activation.
    """

    positions: Float[Array, "v 2"]
    scores: Float[Array, " v"]
    peaks: Float[Array, " v"]
    weight: Float[Array, " v"]
    pull: Float[Array, "v 2"]
    stray: Float[Array, " v"]
    log_likelihood: Float[Array, ""]


def density(
    prior: Prior, scales: Float[Array, " v"], side: float, channels: int, tau: float
) -> Density:
    """The prior at all candidates, alone and against the other nodes of the channel."""
    centers, stddevs, agreement = (x.reshape(channels, -1, *x.shape[1:]) for x in prior)
    found = windows(centers, scales.reshape(channels, -1), side)
    offsets = found.offsets()
    rows, columns = (
        normal(found.middles[..., k, None] + offsets - centers[..., k, None], stddevs)
        for k in (0, 1)
    )
    rows = agreement[..., None] * rows
    own = rows[..., :, None] * columns[..., None, :]
    together = _together(found, rows, columns)
    return Density(found, own, together, tau * own.sum((2, 3)).mean())


def normal(
    x: Float[Array, "*n b"], stddevs: Float[Array, "*n"]
) -> Float[Array, "*n b"]:
    """One-dimensional normal density."""
    s = stddevs[..., None]
    return jnp.exp(-((x / s) ** 2) / 2) / (sqrt(2 * pi) * s)


def _together(
    found: Windows, rows: Float[Array, "d n b"], columns: Float[Array, "d n b"]
) -> Float[Array, "d n b b"]:
    """Density of all nodes of a channel at each candidate, each at its nearest one.

    Written node by node with nodes in the last axis, which XLA turns into one loop that
    keeps nothing: on a CPU less than half the time of tables and their product.
    """
    across = _at_nearest(found, rows, 0)
    along = _at_nearest(found, columns, 1)
    total = sum(across[:, u, :, None] * along[:, u, None] for u in range(rows.shape[1]))
    return jnp.moveaxis(jnp.asarray(total), -1, 1)


def _at_nearest(
    found: Windows, table: Float[Array, "d n b"], axis: int
) -> Float[Array, "d n b n"]:
    """Along an axis, what each node has at its candidate nearest to one of another.

    Of node u, at candidate b of node v; zero where that lies outside of u's window.
    """
    middles = found.middles[..., axis]
    radii = found.radii.astype(middles.dtype)
    # Six times the way of v's candidate from the edge of u's window is a whole number,
    # so that no rounding decides which bin of u it is in.
    odd = (2 * jnp.arange(BINS) - BINS + 1).astype(middles.dtype)
    at = 6 * middles[:, None] + odd[None, :, None] * radii[:, None]
    d, n = middles.shape
    # One long axis of all candidates: loops over short ones are half as fast.
    edges, widths = 6 * (middles - radii), 2 * radii
    away = at.reshape(d, 1, -1) - edges[..., None]
    # A thousandth is more than rounding, and less than what is between two bins.
    number = jnp.floor(away * (1 / widths)[..., None] + 1e-3)
    number = jnp.where(away == (BINS * widths)[..., None], BINS - 1, number)
    value = jnp.zeros(away.shape, table.dtype)
    for k in range(BINS):
        value = jnp.where(number == k, table[:, :, k, None], value)
    return value.reshape(d, n, BINS, n)


def explain(
    mass: Float[Array, "d h w"],
    prior: Prior,
    at: Density,
    side: float,
) -> Explained:
    """Share out the activation of an image among nodes, and place them.

    Args:
      mass: activation of each unit, not negative.
      prior: where nodes are expected.
      at: the same at their candidates.
      side: of the map, in cells.
    """
    d, n = at.own.shape[:2]
    found = at.windows
    evidence = spread(mass, found, side)
    whole = at.all + at.none
    explained = at.own * evidence
    # Where all densities are too small to be numbers, nothing is explained.
    shared = explained / jnp.where(whole > 0, whole, 1)
    offsets = found.offsets()
    from_center = [
        found.middles[..., k, None]
        + offsets
        - prior.centers.reshape(d, n, 2)[..., k, None]
        for k in (0, 1)
    ]
    by_row, by_column = shared.sum(3), shared.sum(2)
    pull = [(by_row * from_center[0]).sum(2), (by_column * from_center[1]).sum(2)]
    steps = (jnp.arange(BINS) - (BINS - 1) / 2).astype(mass.dtype) ** 2
    squares = steps[:, None] + steps[None]
    squares = squares[None, None] * found.units[..., None, None] ** 2
    flat = explained.reshape(d, n, -1)
    most = flat.max(-1)
    # The first of the best, by two plain reductions: argmax is a slow one on a CPU.
    order = jnp.arange(BINS * BINS)[None, None]
    best = jnp.where(flat == most[..., None], order, BINS * BINS - 1).min(-1)
    places = [
        jnp.take_along_axis(offsets, k[..., None], -1) for k in divmod(best, BINS)
    ]
    positions = found.middles + jnp.concatenate(places, -1)
    return Explained(
        positions.reshape(-1, 2),
        flat.sum(-1).reshape(-1),
        most.reshape(-1),
        shared.sum((2, 3)).reshape(-1),
        jnp.stack(pull, -1).reshape(-1, 2),
        (explained * squares).sum((2, 3)).reshape(-1),
        log_likelihood(mass, prior, at.none),
    )


def log_likelihood(
    mass: Float[Array, "d h w"], prior: Prior, none: Float[Array, ""]
) -> Float[Array, ""]:
    r"""$\sum_x F(x) \log(\sum_V P(x | V) + \tau)$ over the units of a map."""
    rows, columns = at_cells(mass, prior)
    whole = jnp.einsum("dnh,dnw->dhw", rows, columns) + none
    return jax.scipy.special.xlogy(mass, whole).sum()


def at_cells(
    mass: Float[Array, "d h w"], prior: Prior
) -> tuple[Float[Array, "d n h"], Float[Array, "d n w"]]:
    """Two factors of each node's density at the cells of the map."""
    d, height, width = mass.shape
    centers, stddevs, agreement = (x.reshape(d, -1, *x.shape[1:]) for x in prior)
    rows, columns = (
        normal(
            jnp.arange(size).astype(mass.dtype)[None, None] - centers[..., k, None],
            stddevs,
        )
        for k, size in enumerate((height, width))
    )
    return agreement[..., None] * rows, columns
