"""Average precision of pixels, of one image and of a whole data set (PxAP)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from xattr._checks import check_count
from xattr.images import min_max
from xattr.metrics._annotations import annotated, where_defined


class PixelCounts(NamedTuple):
    """How many pixels have which relevance, on the object and beside it.

    Attributes:
      inside: pixels of the object in each bin; bins ascend.
      outside: pixels beside it.
    """

    inside: Integer[np.ndarray | Array, "n b"]
    outside: Integer[np.ndarray | Array, "n b"]


def average_precision(
    maps: Float[Array, "n *shape"],
    masks: Bool[Array, "n h w"],
    *,
    ignored: Bool[Array, "n h w"] | None = None,
) -> Float[Array, " n"]:
    r"""Area under the curve of precision over recall of the object's pixels.

    $$ \frac{1}{|M|} \sum_{u \in M}
       \frac{|\{v \in M: a_v \ge a_u\}|}{|\{v: a_v \ge a_u\}|} $$

    Args:
      maps: `n h w` or `n h w 1`, of the image's size.
      masks: True inside the object $M$.
      ignored: True at pixels that don't count, none by default. Those of the object
        always do.

    Returns:
      A number in (0, 1]; larger is better. The object's share of the image is what a
      constant map gets. Not a number where there is no object, or the map is not
      finite.

    Raises:
      TypeError: if masks are not True and False.
      ValueError: if maps and masks don't fit.

    Example:
      >>> mask = jnp.array([[[True, True, False, False]]])
      >>> average_precision(jnp.array([[[9.0, 1.0, 5.0, 0.0]]]), mask).round(4)
      Array([0.8333], dtype=float32)

    References:
      [choe2020evaluating].

    Notes:
      Depends on the order of the pixels alone; the mean over images is not
      `pixel_average_precision`, which puts all pixels of a data set in one order.
    """
    maps = annotated(maps, masks)
    counted = _counted(masks, ignored)
    n = len(maps)

    def of_image(values: Array, inside: Array, counted: Array) -> Array:
        order = jnp.argsort(values)
        ascending = values[order]
        # Equal values are found together.
        first = jnp.searchsorted(ascending, values)
        found, all_found = (
            jnp.cumsum(x[order][::-1].astype(int))[::-1][first]
            for x in (inside, counted)
        )
        precision = found / jnp.maximum(all_found, 1)
        return jnp.where(inside, precision, 0).sum() / inside.sum()

    flat = (x.reshape(n, -1) for x in (maps, masks, counted))
    return where_defined(jax.vmap(of_image)(*flat).astype(maps.dtype), maps, masks)


def pixel_counts(
    maps: Float[Array, "n *shape"],
    masks: Bool[Array, "n h w"],
    *,
    ignored: Bool[Array, "n h w"] | None = None,
    num_bins: int = 1000,
) -> PixelCounts:
    """What `pixel_average_precision` needs to know of each image.

    Args:
      maps: `n h w` or `n h w 1`, of the image's size; each is scaled to [0, 1].
      masks: True inside the object.
      ignored: True at pixels that don't count, none by default.
      num_bins: bins of equal width in [0, 1); 1 has one of its own.

    Returns:
      Pixels inside and outside of the object in each of `num_bins` + 1 bins. Those of a
      constant map are in the first; those of a map that is not finite in none, so that
      it is left out.

    Raises:
      TypeError: if masks are not True and False, or `num_bins` is no whole number.
      ValueError: if maps and masks don't fit, or `num_bins` < 1.

    Example:
      >>> mask = jnp.array([[[True, False, False]]])
      >>> pixel_counts(jnp.array([[[4.0, 1.0, 0.0]]]), mask, num_bins=2).outside
      Array([[2, 0, 0]], dtype=int32)

    References:
      [choe2020evaluating].
    """
    check_count("num_bins", num_bins)
    maps = annotated(maps, masks)
    counted = _counted(masks, ignored)
    n = len(maps)
    edges = jnp.asarray(np.arange(num_bins + 1) / num_bins, maps.dtype)
    bins = jnp.searchsorted(edges, min_max(maps), side="right") - 1
    high, low = (f((1, 2), keepdims=True) for f in (maps.max, maps.min))
    # Rounding must not move a maximum out of its bin.
    bins = jnp.where((maps == high) & (high > low), num_bins, bins)
    finite = jnp.isfinite(maps).all((1, 2), keepdims=True)

    def counts(which: Array) -> Integer[Array, "n b"]:
        # What is not counted gets a bin behind the last.
        own = jnp.where(which & finite, bins, num_bins + 1).reshape(n, -1)
        return jax.vmap(lambda b: jnp.bincount(b, length=num_bins + 2))(own)[:, :-1]

    return PixelCounts(counts(masks), counts(counted & ~masks))


def pixel_average_precision(counts: PixelCounts) -> float:
    r"""Average precision of all pixels of a data set together (PxAP).

    $$ \sum_s \mathrm{precision}_s\,(\mathrm{recall}_s - \mathrm{recall}_{s+1}) $$

    over thresholds $s$, at each of which all pixels of all images that are in its bin
    or one above are found.

    Args:
      counts: of each image, or sums over some of them.

    Returns:
      A number in [0, 1]; larger is better. Not a number if there is no object.

    Example:
      >>> mask = jnp.array([[[True, True, False, False]]])
      >>> maps = jnp.array([[[9.0, 1.0, 5.0, 0.0]]])
      >>> counts = pixel_counts(maps, mask, num_bins=16)
      >>> round(pixel_average_precision(counts), 4)
      0.8333

    References:
      [choe2020evaluating].

    Notes:
      The authors' code gives percent. It resizes maps and masks to 224 by 224, and
      ignores what is in a box around a group of objects and in no object's mask.
    """
    inside, outside = (
        np.asarray(x).sum(0, dtype=np.float64)[::-1].cumsum() for x in counts
    )
    if not inside[-1]:
        return float("nan")
    found = np.diff(inside, prepend=0)
    there = found > 0
    return float((found * inside)[there] @ (1 / (inside + outside)[there]) / inside[-1])


def _counted(
    masks: Bool[Array, "n h w"], ignored: Bool[Array, "n h w"] | None
) -> Bool[Array, "n h w"]:
    if ignored is None:
        return jnp.ones_like(masks)
    if ignored.dtype != bool or ignored.shape != masks.shape:
        raise ValueError(
            f"`ignored` is {ignored.dtype}{list(ignored.shape)}; it must be True and "
            f"False, of the shape {masks.shape} of `masks`: `ignored > 0`."
        )
    return masks | ~ignored
