"""How much each unit of a site varies over images."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from xattr._compile import compiled
from xattr._types import Images, Predictor
from xattr.graph._batches import Batches, activations, check_finite, filled_up, listed
from xattr.graph._grids import Grid

# Variation of less than this share of the mean is that of rounding.
_ROUNDING = 8 * float(np.finfo(np.float32).eps)


def unit_std(
    model: Predictor, batches: Batches, sites: str | Sequence[str]
) -> dict[str, Float[Array, "h w d"]]:
    r"""How much each unit of a site varies over images of other things.

    $$ s = \sqrt{\tfrac{1}{N - 1} \sum_I (x_I - \bar x)^2} $$

    One pass, in which the moments of batches are merged, so that nothing cancels and
    memory does not grow with the images.

    Args:
      model: function from a batch of images to outputs.
      batches: of images that don't show what the graph is to explain. The last one may
        be smaller; all run by one program.
      sites: exact names or module paths of spatial activations, from the top layer
        down; one name stands for a list of one.

    Returns:
      Standard deviation of each unit, in units of the activation, under the name that
      was asked for. 0 for a unit that never varies, or by no more than rounding.

    Raises:
      ValueError: if there are fewer than 2 images, an activation is not finite, or a
        site is unknown, not spatial or in the wrong order.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.lax.conv_general_dilated(
      ...     x, jnp.ones((1, 1, 1, 1)), (1, 1), "SAME",
      ...     dimension_numbers=("NHWC", "HWIO", "NHWC"))
      >>> x = jnp.array([[[[1.0], [3.0]]], [[[1.0], [5.0]]], [[[1.0], [7.0]]]])
      >>> unit_std(model, [x[:2], x[2:]], "conv:0")["conv:0"][..., 0]
      Array([[0., 2.]], dtype=float32)

    References:
      [chan1983algorithms]; [zhang2018interpreting].
    """
    names = listed(sites)
    total, moments = 0, None
    for images, count in filled_up(batches):
        found, finite = _unit_std(model, images, jnp.asarray(count), sites=names)
        check_finite(finite, total, count)
        moments = found if moments is None else _merged(moments, found, total, count)
        total += count
    if moments is None or total < 2:
        raise ValueError(
            f"`batches` gave {total} images; a standard deviation needs at least 2, "
            f"and one that is worth something hundreds. An iterator gives its images "
            f"once: make it anew for each function."
        )
    # What comes out of a compiled program is in the order of its names.
    return {name: _std(moments[name], total) for name in names}


class _Moments(NamedTuple):
    """Of each unit: its mean, and the sum of squares of what it differs from that."""

    mean: Float[Array, "h w d"]
    square: Float[Array, "h w d"]


@compiled
def _unit_std(
    model: Predictor, images: Images, count: Int[Array, ""], *, sites: tuple[str, ...]
) -> tuple[dict[str, _Moments], dict[str, Bool[Array, ""]]]:
    grids, finite = activations(model, images, sites)
    counts = (jnp.arange(len(images)) < count)[:, None, None, None]

    def of_site(grid: Grid) -> _Moments:
        # From the first image on, a unit that never varies has no rounding either.
        away = jnp.where(counts, grid - grid[:1], 0)
        mean = away.sum(0, keepdims=True) / count
        square = jnp.where(counts, (away - mean) ** 2, 0).sum(0)
        return _Moments(grid[0] + mean[0], square)

    return {name: of_site(grid) for name, grid in grids.items()}, finite


@jax.jit
def _merged(
    before: dict[str, _Moments],
    found: dict[str, _Moments],
    total: int | Array,
    count: int | Array,
) -> dict[str, _Moments]:
    """Moments of all images, from those of two parts of them."""
    share = count / (total + count)

    def of_site(a: _Moments, b: _Moments) -> _Moments:
        apart = b.mean - a.mean
        square = a.square + b.square + apart**2 * (total * share)
        return _Moments(a.mean + apart * share, square)

    return {name: of_site(before[name], found[name]) for name in before}


def _std(moments: _Moments, total: int) -> Float[Array, "h w d"]:
    std = jnp.sqrt(moments.square / (total - 1))
    return jnp.where(std > _ROUNDING * jnp.abs(moments.mean), std, 0)
