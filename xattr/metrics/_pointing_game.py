"""The pointing game: is the map's maximum on the object?"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from xattr._checks import check_not_negative
from xattr.metrics._annotations import annotated, where_defined


def pointing_game(
    maps: Float[Array, "n *shape"],
    masks: Bool[Array, "n h w"],
    *,
    tolerance: float = 15,
    ties: Literal["first", "any"] = "first",
) -> Float[Array, " n"]:
    r"""Whether a pixel of the object is near the maximum of the map.

    $$ \mathrm{hit} = 1 \iff \exists\, u \in M:\; \|u - \arg\max a\| < t $$

    Args:
      maps: `n h w` or `n h w 1`, of the image's size.
      masks: True inside the object $M$, all instances of the class together.
      tolerance: $t$, in pixels; up to 1, the maximum itself must be on the object.
      ties: which pixel is the maximum where several are: the `first` one, row by row,
        or `any` of them.

    Returns:
      1 for a hit, 0 for a miss; larger is better. Not a number where there is no
      object, or the map is not finite.

    Raises:
      TypeError: if masks are not True and False.
      ValueError: if maps and masks don't fit, `tolerance` is negative, or `ties` is
        neither of the above.

    Example:
      >>> maps = jnp.array([[[0.0, 0.0, 0.0, 9.0]]])
      >>> mask = jnp.array([[[True, True, False, False]]])
      >>> pointing_game(maps, mask, tolerance=2)
      Array([0.], dtype=float32)
      >>> pointing_game(maps, mask, tolerance=3)
      Array([1.], dtype=float32)

    References:
      [zhang2016excitation]; [fong2019understanding].

    Notes:
      The published number is the mean over classes of each class's share of hits, see
      `mean_over_classes`; for the subset of difficult images, see `is_difficult`.

      TorchRay's circle, in which $t$ itself is a miss, is used here; there, with no
      tolerance everything is a miss. Quantus has no tolerance and takes `any` of
      several maxima: `tolerance=0, ties="any"`. A constant map points to the first
      pixel by `first`, and hits every object by `any`.
    """
    check_not_negative("tolerance", tolerance, 15)
    if ties not in ("first", "any"):
        raise ValueError(f"`ties`={ties!r} is none of first, any: `ties='first'`.")
    maps = annotated(maps, masks)
    n, h, w = maps.shape
    if ties == "first":
        peak = jnp.arange(h * w)[None] == maps.reshape(n, -1).argmax(1)[:, None]
    else:
        peak = (maps == maps.max((1, 2), keepdims=True)).reshape(n, -1)
    near = _widened(peak.reshape(n, h, w), max(tolerance, 1))
    hits = (near & masks).any((1, 2)).astype(maps.dtype)
    return where_defined(hits, maps, masks)


def is_difficult(
    masks: Bool[Array, "n h w"],
    distractors: Int[Array, " n"],
    *,
    max_area: float = 0.25,
) -> Bool[Array, " n"]:
    """Whether an image is among those where pointing at the center is not enough.

    Args:
      masks: True inside the object.
      distractors: number of other categories in the image.
      max_area: share of the image that the object is smaller than.

    Returns:
      True where the object is small and not alone.

    Example:
      >>> masks = jnp.array([[[True, False, False, False, False]]] * 2)
      >>> is_difficult(masks, jnp.array([0, 1]))
      Array([False,  True], dtype=bool)

    References:
      [zhang2016excitation].

    Notes:
      The paper adds up the areas of the boxes, and counts twice where two overlap; here
      the masks are what counts.
    """
    return (masks.mean((1, 2)) < max_area) & (distractors > 0)


def _widened(masks: Bool[Array, "n h w"], radius: float) -> Bool[Array, "n h w"]:
    """Pixels less than `radius` away from one that is True."""
    # No two pixels of a mask are further apart than its diagonal.
    _, h, w = masks.shape
    reach = int(np.ceil(min(radius, np.hypot(h, w) + 1))) - 1
    steps = np.arange(-reach, reach + 1) ** 2
    disk = (steps[:, None] + steps[None]) < radius**2
    found = jax.lax.conv_general_dilated(
        masks[..., None].astype(jnp.float32),
        jnp.asarray(disk[..., None, None], jnp.float32),
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return found[..., 0] > 0.5
