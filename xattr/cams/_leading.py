"""Projection of a grid on its leading direction in the space of channels."""

import jax.numpy as jnp
from jaxtyping import Array

from xattr._one_by_one import one_by_one
from xattr.cams._site_gradient import Grid, Map


def leading_projection(grid: Grid, center: bool) -> Map:
    """Cells projected on the first right singular vector, its entries' sum positive."""
    n, i, j, d = grid.shape
    cells = grid.reshape(n, i * j, d).astype(jnp.promote_types(grid.dtype, "float32"))
    if center:
        cells = cells - cells.mean(axis=1, keepdims=True)
    projected = _by_channels(cells) if d <= i * j else _by_cells(cells)
    # Its inner product with the sum over channels has the sign of the entries' sum.
    agreement = (projected * cells.sum(axis=2)).sum(axis=1, keepdims=True)
    signed = jnp.where(agreement < 0, -projected, projected)
    return signed.reshape(n, i, j).astype(grid.dtype)


def _by_channels(cells: Array) -> Array:
    gram = jnp.einsum("npd,npe->nde", cells, cells)
    _, directions = one_by_one(jnp.linalg.eigh, gram)
    return jnp.einsum("npd,nd->np", cells, directions[..., -1])


def _by_cells(cells: Array) -> Array:
    gram = jnp.einsum("npd,nqd->npq", cells, cells)
    squares, directions = one_by_one(jnp.linalg.eigh, gram)
    return directions[..., -1] * jnp.sqrt(jnp.maximum(squares[:, -1:], 0))
