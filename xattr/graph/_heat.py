"""Where in an image the nodes of a layer are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from xattr._checks import check_positive
from xattr.graph._graph import Placement, Site


def heat_map(
    placement: Placement,
    site: Site,
    *,
    size: tuple[int, int],
    stddev: float = 0.04,
) -> Float[Array, "i h w"]:
    r"""How much the nodes around each pixel explain.

    With $p_V$ a node's position and $S_V$ its score:

    $$ H(p) = \sum_V S_V\, e^{-\|p - p_V\|^2 / 2\sigma^2} $$

    Args:
      placement: of the layer's nodes in images.
      site: of the layer.
      size: height and width of the maps, in pixels.
      stddev: $\sigma$, as a share of the maps' shorter side.

    Returns:
      A map per image, in the unit of the scores: a node alone has its score at its
      position.

    Raises:
      ValueError: if `stddev` is not positive, or `size` is not two positive numbers.

    Example:
      >>> middle, score = jnp.array([[[0.0, 1.0]]]), jnp.array([[2.0]])
      >>> there = Placement(middle, score, score)
      >>> heat_map(there, Site("conv", 1, 3, 1, 1), size=(1, 3), stddev=1.0).round(3)
      Array([[[1.213, 2.   , 1.213]]], dtype=float32)

    References:
      [zhang2018interpreting].

    Notes:
      The width of the kernel is not published.
    """
    check_positive("stddev", stddev, 0.04)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"`size` must be two positive numbers (h, w), got {size}.")
    extent = np.array(size, np.float32)
    places = jnp.asarray(site.fractions(np.asarray(placement.positions)) * extent - 0.5)
    scores = jnp.asarray(placement.scores)
    return _splat(places.astype(scores.dtype), scores, stddev * min(size), tuple(size))


@functools.partial(jax.jit, static_argnums=3)
def _splat(
    places: Float[Array, "i v 2"],
    scores: Float[Array, "i v"],
    stddev: float,
    size: tuple[int, int],
) -> Float[Array, "i h w"]:
    """One image at a time: kernels are products of one of rows and one of columns."""

    def one(image: tuple[Array, Array]) -> Array:
        place, score = image
        rows, columns = (
            jnp.exp(
                -((jnp.arange(length)[None] - place[:, axis, None]) ** 2)
                / (2 * stddev**2)
            )
            for axis, length in enumerate(size)
        )
        weighted = score[:, None] * rows
        return jnp.einsum("vh,vw->hw", weighted, columns, precision="highest")

    return jax.lax.map(one, (places, scores))
