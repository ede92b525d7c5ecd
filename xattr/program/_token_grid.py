"""Which rows and columns of patches a model's tokens stand for."""

from collections.abc import Iterable

from xattr.program._sites import Site


def token_grid(sites: Iterable[Site], num_tokens: int) -> tuple[int, int] | None:
    """Rows and columns of the patches that a number of tokens were made of.

    They are those of the largest spatial activation with no more positions than there
    are tokens. The tokens that are left over, of the class or without a meaning, must
    be fewer than the patches.

    Args:
      sites: activations of the model.
      num_tokens: length of the tokens' axis.

    Returns:
      Rows and columns, or None where no activation has such a grid.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from xattr.program import sites
      >>> kernel = jnp.ones((4, 4, 3, 8))
      >>> model = lambda x: jax.lax.conv_general_dilated(
      ...     x, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
      >>> token_grid(sites(model, jnp.ones((1, 8, 12, 3))), num_tokens=7)
      (2, 3)
    """
    grids = [
        (site.shape[site.axes.index("h")], site.shape[site.axes.index("w")])
        for site in sites
        if "h" in site.axes and "w" in site.axes
    ]
    fitting = [(i, j) for i, j in grids if i * j <= num_tokens < 2 * i * j]
    return max(fitting, key=lambda grid: grid[0] * grid[1], default=None)
