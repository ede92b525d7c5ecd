"""Boxes around what is relevant, against those of people; best threshold of all."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from xattr.metrics._pixelwise import pixelwise

THRESHOLDS = tuple(np.arange(0, 1, 0.001).tolist())


def box_overlaps(
    maps: Float[Any, "n *shape"],
    boxes: Float[Any, "n m 4"],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    variant: Literal["authors", "edges"] = "authors",
) -> Float[np.ndarray, "n s"]:
    r"""Largest overlap of a box around a part of the map with a box of the object.

    The map is scaled to [0, 1], in 256 levels. At each threshold $t_s$, boxes are drawn
    around every contour of what is above it; the result is the largest intersection
    over union of any of them with any of the object's boxes. A function of the host: it
    can't be traced by `jax.jit`. Feed `max_box_accuracy` with the results.

    Args:
      maps: `n h w` or `n h w 1`, of the image's size.
      boxes: `x0 y0 x1 y1`, edges in pixels; unused ones have no area or are not a
        number.
      thresholds: $t_s$, shares of the map's range, in [0, 1).
      variant: `authors` counts one pixel more along each side of all boxes and ends
        those around the map at the image's last pixel, as their code; `edges` measures
        from edge to edge.

    Returns:
      A number in [0, 1] per threshold; larger is better. Zeros for a constant map; not
      a number where there is no box, or the map is not finite.

    Raises:
      TypeError: if maps are traced.
      ValueError: if maps and boxes don't fit, a threshold is not in [0, 1), or
        `variant` is neither of the above.

    Example:
      >>> maps = np.zeros((1, 6, 6), np.float32)
      >>> maps[0, 1:4, 2:4], maps[0, 1:4, 1] = 1.0, 0.5
      >>> boxes = np.array([[[2.0, 1.0, 4.0, 4.0]]])
      >>> options = dict(thresholds=[0.2, 0.8], variant="edges")
      >>> box_overlaps(maps, boxes, **options).round(4).tolist()
      [[0.6667, 1.0]]

    References:
      [choe2020evaluating].

    Notes:
      Contours are those of OpenCV's `findContours` in `RETR_TREE`: around parts that
      touch by sides or corners, and around the holes in them. The authors resize maps
      and images to 224 by 224 and cut the boxes' coordinates there to whole pixels.
    """
    if variant not in ("authors", "edges"):
        raise ValueError(
            f"`variant`={variant!r} is none of authors, edges: `variant='authors'`."
        )
    if not len(thresholds) or not all(0 <= t < 1 for t in thresholds):
        raise ValueError(
            f"`thresholds`={thresholds!r}; they must be in [0, 1): "
            f"`thresholds=[0.15, 0.2]`."
        )
    maps, boxes = _on_host(maps), np.asarray(boxes, np.float64)
    if boxes.ndim != 3 or boxes.shape[::2] != (len(maps), 4):
        raise ValueError(
            f"`boxes` has shape {boxes.shape} for {len(maps)} maps; it must be "
            f"`n m 4`. For one box each use `boxes[:, None]`."
        )
    return np.stack(
        [
            _of_image(*pair, thresholds, variant)
            for pair in zip(maps, boxes, strict=True)
        ]
    )


def max_box_accuracy(
    overlaps: Float[np.ndarray, "n s"], *, ious: Sequence[float] = (0.3, 0.5, 0.7)
) -> float:
    r"""Share of images whose object is found, at the best threshold for all of them.

    $$ \frac{1}{|\Delta|} \sum_{\delta \in \Delta} \max_s
       \frac{1}{n} \sum_n \mathbf 1[\mathrm{IoU}_{ns} \ge \delta] $$

    Args:
      overlaps: of all images of a data set, as `box_overlaps` gives them; those that
        are not numbers are left out.
      ious: $\Delta$, overlaps from which on an object is found. The default is
        MaxBoxAccV2.

    Returns:
      A number in [0, 1]; larger is better. Not a number if there is no image.

    Raises:
      ValueError: if `ious` is empty.

    Example:
      >>> overlaps = np.array([[0.9, 0.1], [0.1, 0.6], [0.9, 0.4]])
      >>> round(max_box_accuracy(overlaps, ious=[0.5]), 4)
      0.6667

    References:
      [choe2020evaluating].

    Notes:
      MaxBoxAcc, the first version, has `ious=[0.5]` and the box of the largest contour
      alone, which `box_overlaps` does not tell apart: here any contour may be right.
    """
    if not len(ious):
        raise ValueError("`ious` is empty; give at least one, `ious=[0.3, 0.5, 0.7]`.")
    overlaps = np.asarray(overlaps)
    overlaps = overlaps[~np.isnan(overlaps).any(1)]
    if not len(overlaps):
        return float("nan")
    return float(np.mean([(overlaps >= iou).mean(0).max() for iou in ious]))


def _on_host(maps: Any) -> Float[np.ndarray, "n h w"]:
    import jax

    try:
        # Unlike JAX, NumPy keeps double precision.
        values = np.asarray(maps)
        return values.reshape(pixelwise(jax.numpy.asarray(maps)).shape)
    except jax.errors.TracerArrayConversionError:
        raise TypeError(
            "`maps` are traced by `jax.jit`; call `xattr.metrics.box_overlaps(maps, "
            "boxes)` outside of it."
        ) from None


def _of_image(
    values: np.ndarray, boxes: np.ndarray, thresholds: Sequence[float], variant: str
) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)]
    if not len(boxes) or not np.isfinite(values).all():
        return np.full(len(thresholds), np.nan)
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(len(thresholds))
    levels = ((values - low) / (high - low) * 255).astype(np.uint8)
    limits, place = np.unique([int(t * 255) for t in thresholds], return_inverse=True)
    found = [_boxes_of(levels > limit) for limit in limits]
    if variant == "authors":
        # Their last pixel is one too far, except where the image ends.
        last = np.array(levels.shape[::-1]) - 1.0
        found = [
            np.concatenate([b[:, :2], np.minimum(b[:, 2:], last)], 1) for b in found
        ]
    best = [_overlap(b, boxes, 1 if variant == "authors" else 0) for b in found]
    return np.array(best)[place]


def _boxes_of(mask: np.ndarray) -> np.ndarray:
    """Boxes around the parts of a mask, and around their holes."""
    parts = _slices(mask, np.ones((3, 3)))
    # A frame joins what is outside of all parts; it is labeled first.
    holes = _slices(~np.pad(mask, 1), None)[1:]
    found = [(x.start, y.start, x.stop, y.stop) for y, x in parts]
    # Coordinates in the frame are one larger, and a contour is one pixel around a hole.
    found += [(x.start - 2, y.start - 2, x.stop, y.stop) for y, x in holes]
    return np.array(found, np.float64)


def _slices(mask: np.ndarray, neighbors: np.ndarray | None) -> Any:
    """Rows and columns of each connected part."""
    from scipy import ndimage

    labels: Any = ndimage.label(mask, neighbors)
    return ndimage.find_objects(labels[0])


def _overlap(found: np.ndarray, boxes: np.ndarray, more: int) -> float:
    """Largest intersection over union of one of these and one of those.

    Where coordinates number pixels, sides are one `more` than what they differ by.
    """
    corner = np.maximum(found[:, None, :2], boxes[None, :, :2])
    opposite = np.minimum(found[:, None, 2:], boxes[None, :, 2:])
    shared = np.maximum(opposite - corner + more, 0).prod(-1)
    first, second = ((b[:, 2:] - b[:, :2] + more).prod(-1) for b in (found, boxes))
    return float((shared / (first[:, None] + second[None] - shared)).max())
