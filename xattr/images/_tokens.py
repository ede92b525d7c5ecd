"""Tokens of a vision transformer, back on the grid of patches."""

import math

from jaxtyping import Array, Inexact


def tokens_to_grid(
    tokens: Inexact[Array, "n t c"], grid: tuple[int, int]
) -> Inexact[Array, "n i j c"]:
    """Tokens of patches on their rows and columns, without those that come first.

    Args:
      tokens: the tokens of each image: any of the class or without a meaning
        (registers) first, then the patches, row by row.
      grid: rows and columns of the patches.

    Returns:
      The tokens of the patches.

    Raises:
      ValueError: if there are fewer tokens than patches.

    Example:
      >>> import jax.numpy as jnp
      >>> tokens = jnp.arange(5.0).reshape(1, 5, 1)
      >>> tokens_to_grid(tokens, (2, 2))[0, :, :, 0]
      Array([[1., 2.],
             [3., 4.]], dtype=float32)
    """
    n, t, c = tokens.shape
    patches = math.prod(grid)
    if len(grid) != 2 or not 0 < patches <= t:
        raise ValueError(
            f"`grid`={grid} has {patches} cells, for {t} tokens. It must be rows and "
            f"columns of patches, no more than there are tokens: for 197 tokens, the "
            f"first of which is of the class, `grid=(14, 14)`."
        )
    return tokens[:, t - patches :].reshape(n, *grid, c)
