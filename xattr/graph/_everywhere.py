"""Which activation each node explains, with every cell of the map as a candidate."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.graph._agreement import Prior
from xattr.graph._expectation import Explained, at_cells


def explain_everywhere(
    mass: Float[Array, "d h w"], prior: Prior, tau: float
) -> Explained:
    """Share out the activation of an image among nodes, and place them.

    The mixture's responsibilities as they are defined, at the units themselves: no
    windows, no grids between the cells. With this step and `update="exact"` learning is
    expectation maximization, and the log-likelihood can't fall.

    Args:
      mass: activation of each unit, not negative.
      prior: where nodes are expected.
      tau: density of what no node explains, as a share of the nodes' mean agreement.
    """
    d, height, width = mass.shape
    centers = prior.centers.reshape(d, -1, 2)
    ways = [
        jnp.arange(size).astype(mass.dtype)[None, None] - centers[..., k, None]
        for k, size in enumerate((height, width))
    ]
    rows, columns = at_cells(mass, prior)
    whole = jnp.einsum("dnh,dnw->dhw", rows, columns) + tau * prior.agreement.mean()
    shared = mass / whole

    def total(rows: Array, columns: Array, of: Array) -> Float[Array, " v"]:
        return (jnp.einsum("dnh,dhw->dnw", rows, of) * columns).sum(-1).reshape(-1)

    pull = [
        total(rows * ways[0], columns, shared),
        total(rows, columns * ways[1], shared),
    ]
    stray = total(rows * ways[0] ** 2, columns, mass)
    stray += total(rows, columns * ways[1] ** 2, mass)
    explained = rows[..., :, None] * columns[..., None, :] * mass[:, None]
    flat = explained.reshape(stray.size, -1)
    best = jnp.stack(divmod(flat.argmax(-1), width), -1)
    return Explained(
        best.astype(mass.dtype),
        total(rows, columns, mass),
        flat.max(-1),
        total(rows, columns, shared),
        jnp.stack(pull, -1),
        stray,
        (mass * jnp.log(whole)).sum(),
    )
