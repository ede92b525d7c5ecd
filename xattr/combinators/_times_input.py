"""A map times the image."""

from typing import Any

from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._types import Images, Method, Predictor
from xattr.combinators._bound import Combined, bound, explain


def times_input(method: Method) -> Method:
    r"""A method's map times the image: $a = x \odot m(x)$.

    Args:
      method: any method $m$ whose maps have the image's height and width.

    Returns:
      A method; a map of one channel gives one value per channel of the image.

    Raises:
      TypeError: if `method` is no function, or has positional arguments bound.
      ValueError: (when called) if the maps are on another grid.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: (x**2).sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> times_input(xattr.gradient)(model, x).ravel()
      Array([18., 32.], dtype=float32)
    """
    return Combined(_times_input, method=bound(method))


@compiled
def _times_input(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    method: Method,
    **options: Any,
) -> Images:
    """Map times image."""
    maps = explain(method, model, images, targets, **options)
    if maps.ndim != images.ndim or maps.shape[:-1] != images.shape[:-1]:
        raise ValueError(
            f"`method` gives maps of shape {maps.shape} for images of shape "
            f"{images.shape}, which can't be multiplied. Resize them first: "
            f"`xattr.images.resize(maps, images.shape[1:3])[..., None] * images`."
        )
    return maps * images
