"""Intersection over union of the object and the part of a map above a threshold."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from xattr.metrics._annotations import annotated, where_defined


def iou(
    maps: Float[Array, "n *shape"],
    masks: Bool[Array, "n h w"],
    *,
    threshold: float,
    of: Literal["range", "maximum"] = "range",
) -> Float[Array, " n"]:
    r"""How well the object and the relevant part of the map cover each other.

    $$ \frac{|A \cap M|}{|A \cup M|}, \qquad
       A = \{u: a_u > \min a + t\,(\max a - \min a)\} $$

    Args:
      maps: `n h w` or `n h w 1`, of the image's size.
      masks: True inside the object $M$.
      threshold: $t$, in [0, 1).
      of: what the threshold is a share of: the `range` of the map, as above, or its
        `maximum`, $A = \{u: a_u > t \max a\}$.

    Returns:
      A number in [0, 1]; larger is better. Not a number where there is no object, or
      the map is not finite. A constant map has no part above a share of its range.

    Raises:
      TypeError: if masks are not True and False.
      ValueError: if maps and masks don't fit, `threshold` is not in [0, 1), or `of` is
        neither of the above.

    Example:
      >>> mask = jnp.array([[[True, True, False, False]]])
      >>> iou(jnp.array([[[4.0, 3.0, 3.0, 0.0]]]), mask, threshold=0.5).round(4)
      Array([0.6667], dtype=float32)

    References:
      [zhou2016learning], [choe2020evaluating].

    Notes:
      CAM's authors take 20% of the maximum, Grad-CAM's 15%; both then draw a box around
      the largest connected part, see `box_overlaps`. Of maps that are never negative,
      and zero somewhere, maximum and range are the same.
    """
    if not 0 <= threshold < 1:
        raise ValueError(
            f"`threshold`={threshold}; it must be in [0, 1): `threshold=0.2`."
        )
    if of not in ("range", "maximum"):
        raise ValueError(f"`of`={of!r} is none of range, maximum: `of='range'`.")
    maps = annotated(maps, masks)
    high = maps.max((1, 2), keepdims=True)
    low = maps.min((1, 2), keepdims=True) if of == "range" else jnp.zeros_like(high)
    found = maps > low + threshold * (high - low)
    overlap = (found & masks).sum((1, 2)) / (found | masks).sum((1, 2))
    return where_defined(overlap.astype(maps.dtype), maps, masks)
