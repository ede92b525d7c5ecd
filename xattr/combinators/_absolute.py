"""The magnitude of a map."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._types import Images, Method, Predictor
from xattr.combinators._bound import Combined, bound, explain


def absolute(method: Method) -> Method:
    """A method's map without its signs: how much, not which way.

    Args:
      method: any method.

    Returns:
      A method whose maps are never negative.

    Raises:
      TypeError: if `method` is no function, or has positional arguments bound.

    Example:
      >>> import xattr
      >>> model = lambda x: -(x**2).sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [-4.0]]]])
      >>> absolute(xattr.gradient)(model, x).ravel()
      Array([6., 8.], dtype=float32)
    """
    return Combined(_absolute, method=bound(method))


@compiled
def _absolute(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    method: Method,
    **options: Any,
) -> Images:
    """Magnitude of the map."""
    return jnp.abs(explain(method, model, images, targets, **options))
