"""The mean of several methods' maps."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import fold
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Method, Predictor
from xattr.combinators._bound import Combined, bound, explain


def ensemble(*methods: Method) -> Method:
    r"""Mean of several methods' maps: $a = \tfrac1M \sum_m a_m$.

    Maps are averaged as they are. Give methods whose maps are in one unit, such as
    one method with several settings.

    Args:
      *methods: methods whose maps have one shape.

    Returns:
      A method. Each of its parts gets its own key where one is given; keyword arguments
      go to all of them.

    Raises:
      TypeError: if a method is no function, or has positional arguments bound.
      ValueError: if none is given, or (when called) their maps differ in shape.

    Example:
      >>> import xattr
      >>> model = lambda x: (x**2).sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> ensemble(xattr.gradient, xattr.input_x_gradient)(model, x).ravel()
      Array([12., 20.], dtype=float32)
    """
    if not methods:
        raise ValueError(
            "`methods` is empty; give at least one, such as "
            "`ensemble(xattr.gradient, xattr.integrated_gradients)`."
        )
    return Combined(_ensemble, methods=tuple(map(bound, methods)))


@compiled
def _ensemble(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    methods: tuple[Method, ...],
    key: Keys | None = None,
    chunk_size: int | None = None,
    **options: Any,
) -> Images:
    """Mean over methods."""
    targets = resolve_targets(model, images, targets, chunk_size)
    keys = None if key is None else per_image(key, images.shape[0])
    maps = []
    for index, method in enumerate(methods):
        own = None if keys is None else fold(keys, jnp.full(keys.shape, index))
        maps.append(
            explain(
                method,
                model,
                images,
                targets,
                key=own,
                chunk_size=chunk_size,
                **options,
            )
        )
    if len(shapes := {m.shape for m in maps}) > 1:
        raise ValueError(
            f"`methods` give maps of different shapes, {sorted(shapes)}; resize and "
            f"reduce them with `xattr.images` and average them by hand."
        )
    return sum(maps[1:], maps[0]) / len(maps)
