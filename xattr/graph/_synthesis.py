"""What of a site's activation belongs to its strongest nodes."""

from math import ceil

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from xattr.graph._explained import node_units
from xattr.graph._graph import Placement, Site


def kept_units(
    placement: Placement, site: Site, *, share: float = 0.1
) -> Bool[Array, "i h w d"]:
    """The units that are the nearest to one of an image's strongest nodes.

    Args:
      placement: of the site's nodes in images.
      site: of the nodes.
      share: of the nodes, those with the highest scores in the image, rounded up. A
        node that explains nothing, of score 0, is none of them.

    Returns:
      True for the unit of a kept node: the cell nearest to its position, in its
      channel. Several nodes may share one.

    Raises:
      ValueError: if `share` is not in (0, 1], or the placement is not of the site.

    Example:
      >>> positions, scores = jnp.array([[[0.6, 0.0], [1.2, 1.0]]]), jnp.array([[2, 1]])
      >>> there = Placement(positions, scores.astype(float), jnp.ones((1, 2)))
      >>> units = kept_units(there, Site("conv", 2, 2, 2, 1), share=0.5)
      >>> jnp.argwhere(units).tolist()
      [[0, 1, 0, 0]]

    References:
      [zhang2018interpreting].
    """
    if not 0 < share <= 1:
        raise ValueError(f"`share`={share} must be in (0, 1]: `share=0.1`.")
    scores = np.asarray(placement.scores)
    # A tenth of 30 is 3, and not the 4 that rounding up its rounding error gives.
    count = max(1, ceil(round(share * scores.shape[1], 6)))
    strongest = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    keep = np.zeros(scores.shape, bool)
    np.put_along_axis(keep, strongest, True, axis=1)
    return node_units(placement, site, keep=jnp.asarray(keep & (scores > 0)))


def pattern_activations(
    activations: Float[Array, "i h w d"],
    placement: Placement,
    site: Site,
    *,
    share: float = 0.1,
) -> Float[Array, "i h w d"]:
    """The activations of an image's strongest nodes alone, for an inversion to take.

    Args:
      activations: of the site, in the images of the placement, before any ReLU too.
      placement: of the site's nodes in these images.
      site: of the nodes.
      share: of the nodes that are kept, as in `kept_units`.

    Returns:
      The activations; 0 where the unit belongs to no kept node.

    Raises:
      ValueError: as `kept_units`, or if the activations are not those of the site in
        these images.

    Example:
      >>> there = Placement(jnp.zeros((1, 1, 2)), jnp.ones((1, 1)), jnp.ones((1, 1)))
      >>> activations = jnp.array([[[[3.0], [4.0]]]])
      >>> pattern_activations(activations, there, Site("conv", 1, 2, 1, 1))[0, ..., 0]
      Array([[3., 0.]], dtype=float32)

    References:
      [zhang2018interpreting].
    """
    units = kept_units(placement, site, share=share)
    if activations.shape != units.shape:
        raise ValueError(
            f"`activations` has shape {activations.shape}; of `site`={site.name!r} in "
            f"the images of `placement` it must be {units.shape}, channels last."
        )
    return jnp.where(units, activations, 0)
