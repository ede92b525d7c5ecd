"""Boxes as masks."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def boxes_to_masks(
    boxes: Float[Array, "n m 4"], size: tuple[int, int]
) -> Bool[Array, "n h w"]:
    """Pixels whose center is in at least one of the image's boxes.

    Args:
      boxes: up to $m$ boxes of each image, `x0 y0 x1 y1`: the edges, in pixels from the
        left and the top edge of the image, so that `0 0 w h` is all of it. Unused ones
        have no area or are not a number.
      size: height and width of the image.

    Returns:
      True inside the boxes.

    Raises:
      ValueError: if the boxes are not `n m 4`.

    Example:
      >>> boxes = jnp.array([[[1.0, 0.0, 3.0, 1.0], [jnp.nan] * 4]])
      >>> boxes_to_masks(boxes, (2, 4)).astype(int)
      Array([[[0, 1, 1, 0],
              [0, 0, 0, 0]]], dtype=int32)

    Notes:
      PASCAL VOC numbers pixels from 1 and counts the last one in: its boxes are
      `xmin - 1, ymin - 1, xmax, ymax` here.
    """
    if boxes.ndim != 3 or boxes.shape[2] != 4:
        raise ValueError(
            f"`boxes` has shape {boxes.shape}; it must be `n m 4`, boxes `x0 y0 x1 y1` "
            f"of each image. For one box each use `boxes[:, None]`."
        )
    rows, columns = (jnp.arange(length) + 0.5 for length in size)
    x0, y0, x1, y1 = jnp.moveaxis(boxes, 2, 0)[..., None]
    inside_rows = (rows[None, None] >= y0) & (rows[None, None] < y1)
    inside_columns = (columns[None, None] >= x0) & (columns[None, None] < x1)
    return (inside_rows[..., :, None] & inside_columns[..., None, :]).any(1)
