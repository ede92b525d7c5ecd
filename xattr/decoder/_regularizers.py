"""What a mask should look like, whatever the classifier says."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr._checks import check_not_negative, check_positive


def area(mask: Float[Array, "n h w 1"]) -> Float[Array, ""]:
    r"""Share of the image that is kept, $\bar m = \mathrm{mean}(m)$.

    Args:
      mask: what to keep of each pixel, in [0, 1].

    Returns:
      Mean over the images, in [0, 1].

    Example:
      >>> area(jnp.array([[[[1.0], [0.0]]]]))
      Array(0.5, dtype=float32)
    """
    return mask.mean()


def target_area(
    mask: Float[Array, "n h w 1"], *, target: float = 0.2
) -> Float[Array, ""]:
    r"""How much more than a given share of the image is kept.

    $$ 100 \, \mathrm{ReLU}(\bar m - a)^2, \quad \bar m = \mathrm{mean}(m) $$

    Args:
      mask: what to keep of each pixel, in [0, 1].
      target: $a$, the share that may be kept.

    Returns:
      Mean over the images, at least 0: 1 where a tenth of the image is kept too much.

    Raises:
      ValueError: if `target` is not a share of the image, in [0, 1).

    Example:
      >>> target_area(jnp.array([[[[1.0], [0.0]]]]), target=0.25)
      Array(6.25, dtype=float32)
    """
    if not 0 <= target < 1:
        raise ValueError(
            f"`target`={target}; it must be a share of the image, at least 0 and "
            f"below 1: `target=0.2`."
        )
    return 100 * (jax.nn.relu(mask.mean((1, 2, 3)) - target) ** 2).mean()


def area_power(
    mask: Float[Array, "n h w 1"], *, power: float = 0.3, offset: float = 5e-4
) -> Float[Array, ""]:
    r"""Area that counts low values of the mask for more than they are.

    $$ \mathrm{mean}\big((m + \epsilon)^q\big) $$

    Args:
      mask: what to keep of each pixel, in [0, 1].
      power: $q$; below 1, a value of a half costs more than half of a whole one.
      offset: $\epsilon$, without which the slope at 0 has no bound.

    Returns:
      Mean over the images, about in [0, 1].

    Raises:
      ValueError: if `power` or `offset` is not positive.

    Example:
      >>> area_power(jnp.array([[[[0.75], [0.0]]]]), power=0.5, offset=0.25)
      Array(0.75, dtype=float32)

    References:
      [dabkowski2017real], the released code, with weight 8.

    Notes:
      The paper has the plain mean.
    """
    check_positive("power", power, 0.3)
    check_positive("offset", offset, 5e-4)
    return ((mask + offset) ** power).mean()


def total_variation(mask: Float[Array, "n h w 1"]) -> Float[Array, ""]:
    r"""How much the mask changes from a pixel to the next.

    $$ \frac{1}{hw} \sum_{ij} |m_{i+1,j} - m_{ij}| + |m_{i,j+1} - m_{ij}| $$

    Args:
      mask: what to keep of each pixel, in [0, 1].

    Returns:
      Mean over the images, in [0, 2); 0 for a mask that is the same everywhere.

    Example:
      >>> total_variation(jnp.array([[[[1.0], [0.0]]]]))
      Array(0.5, dtype=float32)

    References:
      [rudin1992nonlinear], here of the two directions apart.
    """
    n, h, w, _ = mask.shape
    down, across = (jnp.abs(jnp.diff(mask, axis=axis)).sum() for axis in (1, 2))
    return (down + across) / (n * h * w)


def smoothness(
    mask: Float[Array, "n h w 1"], *, border: float = 0.3
) -> Float[Array, ""]:
    r"""How sharply the mask changes, and how much of it lies at the border.

    $$ \frac12 \Big[ \sum_{ij} (m_{i+1,j} - m_{ij})^2 + (m_{i,j+1} - m_{ij})^2
       + \beta \sum_{\mathrm{border}} m^2 \Big] $$

    Args:
      mask: what to keep of each pixel, in [0, 1].
      border: $\beta$, the weight of the first and last rows and columns.

    Returns:
      Mean over the images, at least 0. A sum over pixels: an edge of the same
      relative length and width costs the same at any size.

    Raises:
      ValueError: if `border` is negative.

    Example:
      >>> mask = jnp.array([[[[0.0], [1.0], [0.0]]]])
      >>> smoothness(mask, border=0.0)
      Array(1., dtype=float32)
      >>> smoothness(mask, border=0.5)
      Array(1.5, dtype=float32)

    References:
      [dabkowski2017real], the released code, with weight 0.005 on masks of the
      image's size; [phang2020investigating], with weight 0.001 for each of two
      criteria.

    Notes:
      As there, a corner counts twice, and so does the only row of a mask of one row.
      The paper has the total variation.
    """
    check_not_negative("border", border, 0.3)
    down, across = ((jnp.diff(mask, axis=axis) ** 2).sum() for axis in (1, 2))
    edges = mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1]
    at_border = sum(((edge**2).sum() for edge in edges), jnp.zeros((), mask.dtype))
    return (down + across + border * at_border) / (2 * mask.shape[0])


def binary(mask: Float[Array, "n h w 1"]) -> Float[Array, ""]:
    r"""How far the mask is from saying yes or no, $\mathrm{mean}(m (1 - m))$.

    Args:
      mask: what to keep of each pixel, in [0, 1].

    Returns:
      Mean over the images, in [0, 1/4]; 0 where all values are 0 or 1.

    Example:
      >>> binary(jnp.array([[[[0.5], [1.0]]]]))
      Array(0.125, dtype=float32)
    """
    return (mask * (1 - mask)).mean()


def compactness(mask: Float[Array, "n h w 1"]) -> Float[Array, ""]:
    r"""How far what is kept lies from its own center.

    With $p$ the place of a pixel:

    $$ \frac{\sum_p m_p \|p - \mu\|^2}{(h^2 + w^2) \sum_p m_p}, \quad
       \mu = \frac{\sum_p m_p \, p}{\sum_p m_p} $$

    Args:
      mask: what to keep of each pixel, in [0, 1].

    Returns:
      Mean over the images, in [0, 1/4): 0 for one pixel, about 1/12 where all is
      kept, almost 1/4 for two opposite corners.

    Example:
      >>> print(f"{compactness(jnp.array([[[[1.0], [1.0]]]])):.3f}")
      0.050

    Notes:
      A mask that keeps less than one pixel in all is divided by 1 in place of
      $\sum_p m_p$: the empty mask is 0, and no slope near it is steep.
    """
    h, w = mask.shape[1:3]
    spread = _spread(mask.sum((2, 3))) + _spread(mask.sum((1, 3)))
    return spread.mean() / (h**2 + w**2)


def sparsity(mask: Float[Array, "n h w 1"]) -> Float[Array, ""]:
    r"""How evenly the mask is spread over the pixels, whatever its height.

    $$ \frac{\|m\|_1}{\sqrt{hw} \, \|m\|_2} $$

    Args:
      mask: what to keep of each pixel, in [0, 1].

    Returns:
      Mean over the images, in [0, 1]: 1 where all pixels are alike, the root of the
      share of pixels that are kept where the rest is 0.

    Example:
      >>> sparsity(jnp.array([[[[1.0], [0.0], [0.0], [0.0]]]]))
      Array(0.5, dtype=float32)

    References:
      [hoyer2004non], of whose sparseness this is a falling linear function;
      [krishnan2011blind], the ratio of norms as a regularizer.

    Notes:
      Where $\|m\|_2$ is below that of one pixel, 1 takes its place: the empty mask is
      0, and no slope near it is steep.
    """
    pixels = mask.reshape(mask.shape[0], -1)
    # The root is taken of the larger: at 0 its own slope has no bound.
    norm = jnp.sqrt(jnp.maximum((pixels**2).sum(1), 1))
    return (pixels.sum(1) / norm).mean() / math.sqrt(pixels.shape[1])


def _spread(weights: Float[Array, "n s"]) -> Float[Array, " n"]:
    """Variance of the place along one axis."""
    size = weights.shape[1]
    place = jnp.arange(size, dtype=weights.dtype)[None] - (size - 1) / 2
    weights = weights / jnp.maximum(weights.sum(1, keepdims=True), 1)
    mean = (weights * place).sum(1, keepdims=True)
    return (weights * (place - mean) ** 2).sum(1)
