"""Models that compute in another type."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from xattr._model import Model


def in_dtype(model: Model, dtype: str) -> Model:
    """A model that computes in a type, of images in single precision."""
    if dtype == "float32":
        return model
    return Model(_InDtype(model.apply, dtype), _cast(model.params, jnp.dtype(dtype)))


class _InDtype(NamedTuple):
    """Apply a model to images cast to its type."""

    apply: Callable[..., Any]
    dtype: str

    def __call__(self, params: Any, images: Array) -> Any:
        return _cast(self.apply(params, images.astype(self.dtype)), jnp.float32)


def _cast(tree: Any, dtype: Any) -> Any:
    """Floating-point leaves in another type."""
    return jax.tree.map(
        lambda x: (
            x.astype(dtype)
            if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
            else x
        ),
        tree,
    )
