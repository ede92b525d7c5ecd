"""Deletion: how fast the score falls when the most important pixels go first."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_count, check_pictures
from xattr._compile import compiled
from xattr._scores import probability
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._curve import Curve, curve
from xattr.metrics._pixelwise import pixelwise
from xattr.metrics._removal import (
    only_where_ordered,
    ranks,
    scores_along,
    scores_and_targets,
)
from xattr.paths._baselines import Baseline, one_baseline


@compiled
def deletion(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    pixels_per_step: int = 224,
    num_steps: int | None = None,
    baseline: Baseline = 0.0,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Curve:
    r"""Area under the score while pixels are deleted, the most important first.

    With $x_s$ the image whose $sp$ largest pixels of the map are the baseline's, of
    $HW$ pixels, $p$ = `pixels_per_step` and $S = \lceil HW / p \rceil$:

    $$ a = \frac{1}{HW} \sum_{s=1}^{S} (k_s - k_{s-1})
           \frac{f(x_{s-1}) + f(x_s)}{2}, \qquad k_s = \min(sp, HW) $$

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per pixel, `n h w` or `n h w 1`; the larger, the more evidence.
      targets: what `score` selects; when None, the classes predicted on the images.
      pixels_per_step: $p$, pixels that go at once; the last step takes what is left.
        The authors take 224, and 1792 for their table, of images of 224 x 224.
      num_steps: $S$, in place of `pixels_per_step`: $k_s$ is the whole part of
        $s HW / S$.
      baseline: what stands where a pixel is deleted, in the units of the images: a
        number, a color, or images that broadcast to `images`.
      score: scalar that is watched; the paper's is a probability.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all metrics share one signature.

    Returns:
      A curve from the clean image, 0 of it deleted, to the baseline, all of it
      deleted. Its area is in units of the score, in [0, 1] for a probability; smaller
      is better. Not a number where the map holds one that is none.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if a count is less than 1, there are more steps than pixels, the maps
        are not one number for each pixel of the images, or the baseline does not
        broadcast to them.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [1.0]]]])
      >>> found = deletion(model, x, x, pixels_per_step=1, score=xattr.logit)
      >>> found.scores, found.area
      (Array([[4., 1., 0.]], dtype=float32), Array([1.5], dtype=float32))

    References:
      [petsiuk2018rise].

    Notes:
      The authors' code deletes from normalized images, where 0 is the mean color of
      the training data: for a model that takes RGB, `baseline=` that color is the same.
      It gives a last step that is not full the weight of a full one, and takes equal
      values of the map in any order; here, and in torch-cam's class, the first in
      reading order goes first. torch-cam's `steps` are of the same number of pixels
      each, rounded up: `pixels_per_step=ceil(h * w / steps)`.
    """
    del key
    check_pictures(images)
    flat = pixelwise(maps, images)
    counts = step_counts(images, pixels_per_step, num_steps)
    first, targets = scores_and_targets(model, images, targets, score, chunk_size)
    rest = scores_along(
        model,
        images,
        one_baseline(images, baseline),
        ranks(flat),
        targets,
        counts=counts[1:],
        score=score,
        chunk_size=chunk_size,
    )
    scores = jnp.concatenate([first[:, None], rest], axis=1)
    return curve(fractions(counts, scores), only_where_ordered(scores, flat))


def step_counts(
    images: Images, pixels_per_step: int, num_steps: int | None
) -> list[int]:
    """How many pixels are changed at each step, from none to all."""
    pixels = images.shape[1] * images.shape[2]
    if num_steps is None:
        check_count("pixels_per_step", pixels_per_step)
        return [*range(0, pixels, pixels_per_step), pixels]
    check_count("num_steps", num_steps)
    if num_steps > pixels:
        raise ValueError(
            f"`num_steps`={num_steps} is more than the {pixels} pixels of an image; it "
            f"may be one for each: `num_steps={pixels}`."
        )
    return [step * pixels // num_steps for step in range(num_steps + 1)]


def fractions(counts: list[int], scores: Float[Array, "n s"]) -> Float[Array, " s"]:
    """The same as shares of all pixels."""
    return jnp.array([count / counts[-1] for count in counts], scores.dtype)
