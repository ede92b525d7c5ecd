"""Complexity: over how many pixels maps spread what they say."""

import jax.numpy as jnp
import jax.scipy
from jaxtyping import Array, Float

from xattr._checks import check_not_negative
from xattr.metrics._pixelwise import pixelwise


def gini(maps: Float[Array, "n *shape"]) -> Float[Array, " n"]:
    r"""How unequally a map's magnitude is shared among pixels.

    The Gini index of $v = |a|$, $v_1 \le \dots \le v_d$ its sorted values:

    $$ G = \frac{\sum_i (2 i - d - 1) v_i}{d \sum_i v_i} $$

    Args:
      maps: one number per pixel, `n h w` or `n h w 1`; signs do not count.

    Returns:
      One per image, from 0 where all pixels say as much to $1 - 1/d$ where one alone
      speaks; not a number for a map of zeros. Higher is sparser.

    Raises:
      ValueError: if there is more than one number per pixel.

    Example:
      >>> import jax.numpy as jnp
      >>> gini(jnp.array([[[0.0, 0.0, 0.0, -2.0]], [[1.0, 1.0, -1.0, 1.0]]]))
      Array([0.75, 0.  ], dtype=float32)

    References:
      [chalasani2020concise], section 5.

    Notes:
      Quantus, `Sparseness`, adds 1e-7 to each value, so that a map of zeros has 0.
    """
    values = jnp.sort(_magnitudes(maps), axis=-1)
    d = values.shape[-1]
    order = jnp.arange(1 - d, d, 2, dtype=values.dtype)
    return (order[None] * values).sum(-1) / (d * values.sum(-1))


def entropy(maps: Float[Array, "n *shape"]) -> Float[Array, " n"]:
    r"""How evenly a map's magnitude is spread, in nats.

    With $p_u = |a_u| / \sum_v |a_v|$:

    $$ H = -\sum_u p_u \log p_u $$

    Args:
      maps: one number per pixel, `n h w` or `n h w 1`; signs do not count.

    Returns:
      One per image, from 0 where one pixel alone speaks to $\log d$ where all $d$ say
      as much; not a number for a map of zeros. Lower is simpler.

    Raises:
      ValueError: if there is more than one number per pixel.

    Example:
      >>> import jax.numpy as jnp
      >>> entropy(jnp.array([[[1.0, -1.0]], [[0.0, 3.0]]])).round(4)
      Array([0.6931, 0.    ], dtype=float32)

    References:
      [bhatt2020evaluating], definition 4.

    Notes:
      Quantus, `Complexity`, adds 1e-12 inside of the logarithm.
    """
    values = _magnitudes(maps)
    shares = values / values.sum(-1, keepdims=True)
    return jax.scipy.special.entr(shares).sum(-1)


def effective_size(
    maps: Float[Array, "n *shape"], *, threshold: float = 1e-5
) -> Float[Array, " n"]:
    """Number of pixels that say more than almost nothing.

    Args:
      maps: one number per pixel, `n h w` or `n h w 1`; signs do not count.
      threshold: magnitude above which a pixel counts, as a share of the map's largest.

    Returns:
      A number of pixels per image, 0 for a map of zeros; not a number where a map holds
      one that is none. Lower is simpler.

    Raises:
      ValueError: if there is more than one number per pixel, or `threshold` < 0.

    Example:
      >>> import jax.numpy as jnp
      >>> effective_size(jnp.array([[[0.0, 0.1, -4.0, 3.0]]]), threshold=0.5)
      Array([2.], dtype=float32)

    References:
      [nguyen2020quantitative], section 3.3; [hedstrom2023quantus].

    Notes:
      The paper counts the pixels that must be kept for the model's output to stay
      within a tolerance, which asks the model. This is `EffectiveComplexity` of
      Quantus, which by default divides by the largest value of the whole batch, so that
      its number for an image depends on the others.
    """
    check_not_negative("threshold", threshold, 1e-5)
    values = _magnitudes(maps)
    largest = values.max(-1, keepdims=True)
    count = (values > threshold * largest).sum(-1, dtype=values.dtype)
    return jnp.where(jnp.isfinite(largest[:, 0]), count, jnp.nan)


def _magnitudes(maps: Array) -> Float[Array, "n d"]:
    flat = pixelwise(maps)
    return jnp.abs(flat).reshape(flat.shape[0], -1)
