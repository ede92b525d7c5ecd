"""Structural similarity of two maps."""

import functools
import math
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Window = Literal["gaussian", "uniform"]


@functools.partial(jax.jit, static_argnames=("window", "data_range"))
def ssim(
    a: Float[Array, "n h w *c"],
    b: Float[Array, "n h w *c"],
    *,
    window: Window = "gaussian",
    data_range: float | None = None,
) -> Float[Array, " n"]:
    r"""Whether two maps have the same means, contrasts and patterns in each window.

    With the means $\mu$, variances $\sigma^2$ and covariance $\sigma_{ab}$ in a window
    about a pixel, $C_1 = (0.01 L)^2$, $C_2 = (0.03 L)^2$, $L$ = `data_range`, the mean
    over all windows inside of the map of

    $$ \frac{(2 \mu_a \mu_b + C_1)(2 \sigma_{ab} + C_2)}
            {(\mu_a^2 + \mu_b^2 + C_1)(\sigma_a^2 + \sigma_b^2 + C_2)} $$

    Args:
      a: one map per image, `n h w`, or `n h w c`, whose channels are averaged over.
      b: as many of the same shape.
      window: `gaussian`, 11 by 11 of standard deviation 1.5, as published; `uniform`,
        7 by 7 with unbiased variances, scikit-image's default.
      data_range: $L$, the span of possible values; when None, from the least to the
        greatest value of each pair of maps.

    Returns:
      From -1 to 1, which equal maps have. Not a number where a map is not finite, or
      both have one value throughout.

    Raises:
      ValueError: if the shapes differ, a map is smaller than a window, or `window` or
        `data_range` is not as above.

    Example:
      >>> a = jnp.zeros((1, 7, 7))
      >>> ssim(a, a + 1, window="uniform").round(4)  # C_1 / (1 + C_1)
      Array([0.0001], dtype=float32)

    References:
      [wang2004image], eq. 13; [adebayo2018sanity].

    Notes:
      It is made for intensities. In a map and its negative, means and patterns are both
      of opposite sign, and the product is positive.

      scikit-image's `structural_similarity` is the one with `gaussian_weights=True,
      use_sample_covariance=False`, the other without. Quantus passes it the maps
      flattened to one axis in its randomization test, and then windows are of one axis.
    """
    if window not in get_args(Window):
        raise ValueError(f"`window`={window!r}; it must be 'gaussian' or 'uniform'.")
    if data_range is not None and not data_range > 0:
        raise ValueError(
            f"`data_range`={data_range}; it must be positive: `data_range=1.0`."
        )
    weights = _weights(window)
    if a.shape != b.shape or a.ndim not in (3, 4) or min(a.shape[1:3]) < len(weights):
        raise ValueError(
            f"`a` has shape {a.shape} and `b` has {b.shape}; both must be `n h w` or "
            f"`n h w c` of one shape, at least {len(weights)} by {len(weights)}: "
            f"`ssim(maps, xattr.images.resize(others, maps.shape[1:3]))`."
        )
    wide = jnp.promote_types(a.dtype, jnp.float32)
    a, b = (x.reshape(*x.shape[:3], -1).astype(wide) for x in (a, b))
    if data_range is None:
        axes = (1, 2, 3)
        high = jnp.maximum(a.max(axes), b.max(axes))
        extent = high - jnp.minimum(a.min(axes), b.min(axes))
    else:
        extent = jnp.full(a.shape[:1], data_range, wide)
    a, b = (x / extent[:, None, None, None] for x in (a, b))

    def means(x: Array) -> Array:
        product = functools.partial(jnp.einsum, precision="highest")
        rows, columns = (_band(weights, size, x.dtype) for size in x.shape[1:3])
        return product("ih,jw,nhwc->nijc", rows, columns, x)

    mean_a, mean_b = means(a), means(b)
    count = len(weights) ** 2
    unbiased = count / (count - 1) if window == "uniform" else 1.0
    variance_a, variance_b, covariance = (
        unbiased * (means(x * y) - mean_x * mean_y)
        for x, y, mean_x, mean_y in (
            (a, a, mean_a, mean_a),
            (b, b, mean_b, mean_b),
            (a, b, mean_a, mean_b),
        )
    )
    c1, c2 = 0.01**2, 0.03**2
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    pattern = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return (light * pattern).mean((1, 2, 3))


def _weights(window: Window) -> np.ndarray:
    """Weights of a window along one axis."""
    if window == "uniform":
        return np.full(7, 1 / 7)
    weights = np.array([math.exp(-(i**2) / (2 * 1.5**2)) for i in range(-5, 6)])
    return weights / weights.sum()


def _band(weights: np.ndarray, size: int, dtype: jnp.dtype) -> Array:
    """Matrix of the windows inside of an axis, one per row."""
    rows = size - len(weights) + 1
    band = np.stack([np.pad(weights, (i, rows - 1 - i)) for i in range(rows)])
    return jnp.asarray(band, dtype)
