"""Occlusion: what the score loses when a window of the image is replaced."""

from jaxtyping import Array, Float, PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.perturbations._occlude import drops, positions
from xattr.perturbations._windows import Extent, mean_over_windows


@compiled
def occlusion(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    window: Extent = 32,
    stride: Extent = 16,
    baseline: Baseline = 0.0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ... 1"]:
    r"""How much the score falls, on average, when a window over the pixel is replaced.

    With $x_p$ the image whose pixels under position $p$ are the baseline's, and $P(u)$
    the positions that cover pixel $u$:

    $$ a_u = \frac{1}{|P(u)|} \sum_{p \in P(u)} \big(f(x) - f(x_p)\big) $$

    The window starts in the corner and moves by the stride until it reaches the far
    border, where it is cut short if the stride does not fit.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images to explain, `n h w c`, or `n ... c` with any spatial axes.
      targets: what `score` selects; when None, the classes predicted on the images.
      window: extent of the window in pixels, one for all axes or one for each.
      stride: pixels from one position to the next, likewise. Evaluations per image
        grow with its inverse square.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      score: scalar being explained.
      chunk_size: occluded images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      The mean drop per pixel: positive where the window hides evidence for the target,
      and 0 for pixels that no position covers, where the stride exceeds the window.

    Raises:
      ValueError: if the window is larger than the images, an extent is less than 1, or
        the baseline does not broadcast to the images.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [2.0], [3.0]]]])
      >>> occlusion(model, x, window=(1, 2), stride=1).ravel()
      Array([3., 4., 5.], dtype=float32)

    References:
      [zeiler2014visualizing], section 4.2.

    Notes:
      As in captum, the drops of overlapping windows are averaged; PAIR and xplique sum
      them, which favors the middle of the image. The last window is cut short at the
      border, as in captum, rather than left out.
    """
    del key
    where = positions(images, window, stride)
    lost = drops(model, images, targets, score, where.boxes, baseline, chunk_size)
    maps = mean_over_windows(lost.reshape(-1, *where.counts), where)
    return maps[..., None].astype(images.dtype)
