"""Insertion: how fast the score rises when the most important pixels come first."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_pictures
from xattr._compile import compiled
from xattr._scores import probability
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._curve import Curve, curve
from xattr.metrics._deletion import fractions, step_counts
from xattr.metrics._pixelwise import pixelwise
from xattr.metrics._removal import (
    only_where_ordered,
    ranks,
    scores_along,
    scores_and_targets,
)
from xattr.paths._baselines import Baseline, one_baseline


@compiled
def insertion(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    pixels_per_step: int = 224,
    num_steps: int | None = None,
    baseline: Baseline | None = None,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Curve:
    r"""Area under the score while pixels are put in, the most important first.

    As `deletion`, from the other end: $x_s$ is the baseline whose $k_s$ largest pixels
    of the map are the image's.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per pixel, `n h w` or `n h w 1`; the larger, the more evidence.
      targets: what `score` selects; when None, the classes predicted on the images.
      pixels_per_step: pixels that come at once; the last step takes what is left.
      num_steps: steps in place of `pixels_per_step`.
      baseline: where it begins, in the units of the images: a number, a color, or
        images that broadcast to `images`. When None, the images blurred as by the
        authors; `xattr.images.blurred(images, stddev=5)` is the Gaussian itself.
      score: scalar that is watched; the paper's is a probability.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all metrics share one signature.

    Returns:
      A curve from the baseline, 0 of the image put in, to the clean image. Its area is
      in units of the score, in [0, 1] for a probability; larger is better. Not a
      number where the map holds one that is none.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if a count is less than 1, there are more steps than pixels, the maps
        are not one number for each pixel of the images, or the baseline does not
        broadcast to them.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [1.0]]]])
      >>> options = dict(pixels_per_step=1, baseline=0.0, score=xattr.logit)
      >>> found = insertion(model, x, x, **options)
      >>> found.scores, found.area
      (Array([[0., 3., 4.]], dtype=float32), Array([2.5], dtype=float32))

    References:
      [petsiuk2018rise].

    Notes:
      The authors' kernel of 11 x 11 pixels is made by scipy's `gaussian_filter` of
      standard deviation 5 on a square of that size, which mirrors what leaves it:
      nearly a mean over the square, not a cut Gaussian. It is theirs here. Beyond the
      border their code puts zeros, which are the mean color of normalized images; here
      the weights inside sum to 1, so that a constant image stays as it is in any units.
      Other notes as for `deletion`.
    """
    del key
    check_pictures(images)
    flat = pixelwise(maps, images)
    counts = step_counts(images, pixels_per_step, num_steps)
    last, targets = scores_and_targets(model, images, targets, score, chunk_size)
    start = _blurred(images) if baseline is None else one_baseline(images, baseline)
    rest = scores_along(
        model,
        start,
        images,
        ranks(flat),
        targets,
        counts=counts[:-1],
        score=score,
        chunk_size=chunk_size,
    )
    scores = jnp.concatenate([rest, last[:, None]], axis=1)
    return curve(fractions(counts, scores), only_where_ordered(scores, flat))


def _blurred(images: Images) -> Images:
    """Images under the authors' kernel, which is the same along both axes."""
    for axis in (1, 2):
        weights = jnp.asarray(_matrix(images.shape[axis]), images.dtype)
        blurred = jnp.tensordot(images, weights, ([axis], [1]), precision="highest")
        images = jnp.moveaxis(blurred, -1, axis)
    return images


def _matrix(length: int, size: int = 11, stddev: float = 5.0) -> np.ndarray:
    """What each pixel of a line (first axis) takes of each (second axis)."""
    reach = int(4 * stddev + 0.5)
    places = np.arange(-reach, reach + 1)
    gaussian = np.exp(-(places**2) / (2 * stddev**2))
    # Mirrored at the ends of the kernel, which come twice: a period of two sizes.
    periodic = (size // 2 + places) % (2 * size)
    folded = np.minimum(periodic, 2 * size - 1 - periodic)
    kernel = np.bincount(folded, gaussian, minlength=size)
    apart = np.arange(length)[None] - np.arange(length)[:, None]
    inside = np.abs(apart) <= size // 2
    weights = np.where(inside, kernel[np.clip(apart + size // 2, 0, size - 1)], 0)
    return weights / weights.sum(1, keepdims=True)
