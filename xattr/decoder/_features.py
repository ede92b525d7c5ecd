"""The feature maps that a decoder reads, from the pass that classifies."""

from collections.abc import Sequence

from jaxtyping import Array, Inexact, PyTree

from xattr._types import Images, Predictor
from xattr.images import tokens_to_grid
from xattr.program import Site, arranged, perturb, token_grid
from xattr.program import sites as sites_of

Features = tuple[Inexact[Array, "n _ _ _"], ...]


def features_and_outputs(
    model: Predictor, images: Images, sites: Sequence[str]
) -> tuple[Features, PyTree]:
    """Maps of some sites and the outputs of a model, from one pass.

    Args:
      model: function from a batch of images to outputs.
      images: the batch to run it on.
      sites: exact names or module paths of spatial activations, or of tokens that stand
        for a grid of patches.

    Returns:
      The map of each site, `n i j d`, and the outputs.

    Raises:
      ValueError: if a site is unknown, ambiguous, inside a loop, or not spatial.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def model(x):
      ...     cells = jax.lax.conv_general_dilated(
      ...         x, jnp.ones((2, 2, 1, 1)), (2, 2), "VALID",
      ...         dimension_numbers=("NHWC", "HWIO", "NHWC"))
      ...     return jax.nn.relu(cells).mean((1, 2))
      >>> (cells,), logits = features_and_outputs(
      ...     model, jnp.ones((1, 2, 4, 1)), ["relu:0"])
      >>> cells.ravel(), logits
      (Array([4., 4.], dtype=float32), Array([[4.]], dtype=float32))
    """
    perturbed = perturb(model, images, sites)
    outputs, activations = perturbed.call(perturbed.zeros)
    maps = tuple(
        _to_grid(model, images, name, perturbed.sites[name], activations[name])
        for name in sites
    )
    return maps, outputs


def _to_grid(
    model: Predictor, images: Images, name: str, site: Site, activation: Array
) -> Array:
    letters = sorted(site.axes)
    grid = None
    if letters == ["c", "h", "n", "w"]:
        grid = site.shape[site.axes.index("h")], site.shape[site.axes.index("w")]
    elif letters == ["?", "c", "n"]:
        num_tokens = site.shape[site.axes.index("?")]
        grid = token_grid(sites_of(model, images), num_tokens)
    if grid is None or grid == (1, 1):
        raise ValueError(
            f"`sites` has {name!r}, of shape {site.shape} and axes {site.axes!r} (read "
            f"from the model); a decoder needs one batch, one row, one column and one "
            f"channel axis, and more than one cell, or tokens of such a grid. Choose "
            f"with `xattr.sites(model, images)`."
        )
    ordered = arranged(activation, site)
    return ordered if ordered.ndim == 4 else tokens_to_grid(ordered, grid)
