"""Relevance rank: do the most relevant pixels fill the object?"""

from jaxtyping import Array, Bool, Float

from xattr.metrics._annotations import annotated, where_defined
from xattr.metrics._top import share_of_top


def relevance_rank(
    maps: Float[Array, "n *shape"], masks: Bool[Array, "n h w"]
) -> Float[Array, " n"]:
    r"""Share of the object's area that the as many most relevant pixels cover.

    $$ \frac{|\mathrm{top}_{|M|}(a) \cap M|}{|M|} $$

    Args:
      maps: `n h w` or `n h w 1`, of the image's size.
      masks: True inside the object $M$.

    Returns:
      A number in [0, 1]; larger is better. The object's share of the image is what a
      constant map gets. Not a number where there is no object, or the map is not
      finite.

    Raises:
      TypeError: if masks are not True and False.
      ValueError: if maps and masks don't fit.

    Example:
      >>> import jax.numpy as jnp
      >>> mask = jnp.array([[[True, True, False, False]]])
      >>> relevance_rank(jnp.array([[[9.0, 1.0, 5.0, 0.0]]]), mask)
      Array([0.5], dtype=float32)

    References:
      [arras2022clevr], relevance rank accuracy.

    Notes:
      Pixels that tie for the last places share them evenly, as the zeros of a CAM do
      where it is smaller than the object; Quantus takes those that its sort puts first.
      For Quantus's `abs=True` give the absolute values of the maps.
    """
    maps = annotated(maps, masks)
    return where_defined(share_of_top(maps, masks, masks.sum((1, 2))), maps, masks)
