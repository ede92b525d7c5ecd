"""Feature ablation: what the score loses when one feature is replaced."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.perturbations._features import (
    Grid,
    Segments,
    cell_boxes,
    evaluate_coalitions,
    features_of,
    spread,
)
from xattr.perturbations._occlude import drops


@compiled
def feature_ablation(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    grid: Grid = 8,
    segments: Segments | None = None,
    baseline: Baseline = 0.0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ... 1"]:
    r"""How much the score falls when the feature that holds the pixel is replaced.

    With $x_{-j}$ the image whose pixels in feature $j$ are the baseline's:

    $$ a_j = f(x) - f(x_{-j}) $$

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images to explain, `n h w c`, or `n ... c` with any spatial axes.
      targets: what `score` selects; when None, the classes predicted on the images.
      grid: cells along each spatial axis, one number for all axes or one for each.
      segments: masks that take the place of the grid, from
        `xattr.images.superpixels(images)`. A pixel under several belongs to the first
        of them; one under none is never replaced.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      score: scalar being explained.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      At each pixel the drop of its whole feature, not divided by the feature's area:
      positive where it holds evidence for the target. Pixels of no feature get 0.

    Raises:
      TypeError: if `segments` is no array of booleans or `grid` no whole number.
      ValueError: if there are more cells than pixels, the segments do not fit the
        images, or the baseline does not broadcast to them.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [2.0], [3.0], [4.0]]]])
      >>> feature_ablation(model, x, grid=(1, 2)).ravel()
      Array([3., 3., 7., 7.], dtype=float32)

    References:
      [kokhlikyan2020captum].

    Notes:
      Cells of a grid are replaced by local update, as in `occlusion`. In captum's
      method with a `feature_mask` features span the whole batch; those here belong to
      each image.
    """
    del key
    features = features_of(images, grid, segments)
    if segments is None:
        boxes = cell_boxes(images, grid)
        lost = drops(model, images, targets, score, boxes, baseline, chunk_size)
    else:
        scores, _ = evaluate_coalitions(
            model,
            images,
            targets,
            features,
            lambda _, index: index[:, None] != jnp.arange(features.num)[None],
            num=features.num + 1,
            baseline=baseline,
            score=score,
            chunk_size=chunk_size,
        )
        lost = scores[:, -1:] - scores[:, :-1]
    return spread(lost, features, images)
