"""Numbers of half the size for the passes through networks."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from xattr.decoder._settings import Precision


def cast(tree: PyTree, precision: Precision) -> PyTree:
    """The same with its `float32` arrays in another precision; the rest untouched."""

    def one(leaf: Any) -> Any:
        # A parameter may be a plain number, which takes the type of what it meets.
        is_single = getattr(leaf, "dtype", None) == jnp.float32
        return leaf.astype(precision) if is_single else leaf

    return jax.tree.map(one, tree)
