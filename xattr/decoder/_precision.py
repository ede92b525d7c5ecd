"""Numbers of half the size for the passes through networks."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from xattr.decoder._settings import Precision


def cast(tree: PyTree, precision: Precision) -> PyTree:
    """The same with its `float32` arrays in another precision; the rest untouched."""
    return jax.tree.map(
        lambda leaf: leaf.astype(precision) if leaf.dtype == jnp.float32 else leaf, tree
    )
