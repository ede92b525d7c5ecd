"""Top-k intersection: how many of the most relevant pixels are on the object."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from xattr._checks import check_count
from xattr.metrics._annotations import annotated, where_defined
from xattr.metrics._top import share_of_top


def top_k_intersection(
    maps: Float[Array, "n *shape"],
    masks: Bool[Array, "n h w"],
    *,
    k: int = 1000,
    concept_influence: bool = False,
) -> Float[Array, " n"]:
    r"""Share of the $k$ most relevant pixels that lie on the object.

    $$ \frac{|\mathrm{top}_k(a) \cap M|}{k} $$

    Args:
      maps: `n h w` or `n h w 1`, of the image's size.
      masks: True inside the object $M$.
      k: number of pixels.
      concept_influence: whether to divide by the object's share of the image, so that
        1 is what chance gives.

    Returns:
      A number in [0, 1], or with `concept_influence` at least 0; larger is better. Not
      a number where there is no object, or the map is not finite.

    Raises:
      TypeError: if masks are not True and False, or `k` is no whole number.
      ValueError: if maps and masks don't fit, or `k` is not from 1 to the number of
        pixels.

    Example:
      >>> mask = jnp.array([[[True, True, False, False]]])
      >>> top_k_intersection(jnp.array([[[9.0, 1.0, 5.0, 0.0]]]), mask, k=2)
      Array([0.5], dtype=float32)

    References:
      [theiner2022interpretable].

    Notes:
      Pixels that tie for the last places share them evenly, so that no order of pixels
      decides; Quantus takes those that its sort puts first. With a `k` that is larger
      than the image, Quantus takes all pixels.
    """
    check_count("k", k)
    maps = annotated(maps, masks)
    pixels = maps.shape[1] * maps.shape[2]
    if k > pixels:
        raise ValueError(
            f"`k`={k} is more than the {pixels} pixels of a map; a tenth of them is "
            f"`k={max(1, pixels // 10)}`."
        )
    share = share_of_top(maps, masks, jnp.full(len(maps), k))
    if concept_influence:
        share = share / masks.mean((1, 2), dtype=share.dtype)
    return where_defined(share, maps, masks)
