"""Occlusion's output map: the score with the window at each position."""

from jaxtyping import Array, Float, PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.perturbations._occlude import occluded_scores, positions
from xattr.perturbations._windows import Extent


@compiled
def occlusion_map(
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
) -> Float[Array, "n ..."]:
    r"""What the score is with a window of the image replaced, by the window's place.

    $$ m_p = f(x_p) $$

    with $x_p$ the image whose pixels under position $p$ are the baseline's. Low values
    mark what the score rests on: `occlusion` is the drop, laid out over pixels.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images to explain, `n h w c`, or `n ... c` with any spatial axes.
      targets: what `score` selects; when None, the classes predicted on the images.
      window: extent of the window in pixels, one for all axes or one for each.
      stride: pixels from one position to the next, likewise.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      score: scalar being watched; `xattr.probability` gives the published figure.
      chunk_size: occluded images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      The score at each position, `n i j`: position $k$ along an axis covers the pixels
      from $k$ times the stride on.

    Raises:
      ValueError: if the window is larger than the images, an extent is less than 1, or
        the baseline does not broadcast to the images.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [2.0], [3.0]]]])
      >>> occlusion_map(model, x, window=(1, 2), stride=1)
      Array([[[3., 1.]]], dtype=float32)

    References:
      [zeiler2014visualizing], figure 6d.
    """
    del key
    where = positions(images, window, stride)
    scores = occluded_scores(
        model, images, targets, score, where.boxes, baseline, chunk_size
    )
    return scores.reshape(-1, *where.counts).astype(images.dtype)
