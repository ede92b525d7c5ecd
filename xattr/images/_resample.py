"""Maps at another size."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Resize = Literal["bilinear", "align_corners", "nearest"]


def resize(
    maps: Float[Array, "n i j *c"],
    size: tuple[int, int],
    *,
    method: Resize = "bilinear",
) -> Float[Array, "n h w *c"]:
    r"""Maps at `size`, each cell's value standing at the cell's centre.

    With `bilinear`, output row $y$ of $h$ reads the input of $i$ rows at

    $$ u = \operatorname{clip}\!\left(\tfrac{i}{h}(y + \tfrac12) - \tfrac12,
           0, i - 1\right) $$

    and mixes rows $\lfloor u \rfloor$ and $\lfloor u \rfloor + 1$ linearly; columns
    likewise. This is the rule of torch's `interpolate(mode="bilinear",
    align_corners=False)` and of OpenCV's `INTER_LINEAR`, which the published CAM
    code resizes with. There is no antialiasing: making a map smaller samples it.

    `align_corners` is linear as well, but puts the centres of the first and last cell
    on those of the first and last output pixel: $u = y (i - 1) / (h - 1)$, the rule of
    torch's `align_corners=True`.

    Args:
      maps: maps or images, the spatial axes second and third.
      size: height and width wanted.
      method: `bilinear`, `align_corners`, or `nearest` (the value of the cell that
        holds the output's centre; torch's `nearest-exact`).

    Returns:
      The same maps at `size`; constants stay constants, signs are kept.

    Raises:
      ValueError: if `size` is not two positive numbers, or `method` is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> resize(jnp.array([[[0.0, 4.0]]]), (1, 4))
      Array([[[0., 1., 3., 4.]]], dtype=float32)
    """
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"`size` must be two positive numbers (h, w), got {size}.")
    if method not in ("bilinear", "align_corners", "nearest"):
        raise ValueError(
            f"`method`={method!r} is unknown. Use method='bilinear', 'align_corners' "
            f"or 'nearest'."
        )
    shape = (maps.shape[0], *size, *maps.shape[3:])
    if method == "align_corners":
        return _align_corners(maps, shape)
    return jax.image.resize(maps, shape, method, antialias=False)


def _align_corners(maps: Array, shape: tuple[int, ...]) -> Array:
    scale = jnp.array(
        [
            # A single cell is all that there is to take: any place within it will do.
            max(new - 1, 1) / (old - 1) if old > 1 else 2.0 * new
            for new, old in zip(shape[1:3], maps.shape[1:3], strict=True)
        ],
        jnp.promote_types(maps.dtype, jnp.float32),
    )
    return jax.image.scale_and_translate(
        maps, shape, (1, 2), scale, (1 - scale) / 2, "linear", antialias=False
    )
