"""RISE: the mean of random masks, each weighted by the score of what it leaves."""

from jaxtyping import Array, Float, PyTree

from xattr._checks import check_count
from xattr._chunking import sum_all
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import fold
from xattr._scores import probability, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.images import Enlarge, grid_masks
from xattr.paths._baselines import Baseline, one_baseline


@compiled
def rise(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    num_masks: int = 4000,
    grid: int = 7,
    keep: float = 0.5,
    baseline: Baseline = 0.0,
    resize: Enlarge = "mirrored",
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ... 1"]:
    r"""Mean score of the masked images in which the pixel is visible.

    With $N$ = `num_masks` random masks $m_s$ between 0 and 1, a baseline $b$ and
    $p$ = `keep`, the probability that a pixel is visible:

    $$ a_u = \frac{1}{N p} \sum_{s=1}^{N} f\big(m_s \odot x + (1 - m_s) \odot b\big)
             \, m_s(u) $$

    A mask is a grid of cells, each kept with probability $p$, enlarged to the size of
    the image by linear interpolation and shifted at random.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images to explain, `n h w c`, or `n ... c` with any spatial axes.
      targets: what `score` selects; when None, the classes predicted on the images.
      num_masks: $N$, evaluations per image; the noise of a map falls with its root.
        The paper takes 4000 for VGG-16 and 8000 for ResNet-50.
      grid: cells of a mask along each axis.
      keep: $p$, the probability that a cell is kept.
      baseline: $b$, what stands where a mask hides the image, in the units of the
        images: a number, a color, or images that broadcast to `images`.
      resize: how masks are enlarged: `mirrored` as in the authors' code, or `bilinear`
        or `nearest`; see `xattr.images.grid_masks`.
      score: scalar being explained; the paper's is a probability.
      chunk_size: masked images held in memory at once; chosen to fit when None.
      key: one key, or one per image. Mask $s$ of an image depends on its key alone.

    Returns:
      A map in units of the score, never negative where the score is not. Differences
      between pixels count: all share the mean score of a masked image.

    Raises:
      TypeError: if `num_masks` or `grid` is no whole number.
      ValueError: if `key` is None, `num_masks` or `grid` < 1, `keep` is no probability
        above 0, the baseline does not broadcast to the images, `resize` is unknown, or
        the images have no spatial axis.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [2.0]]]])
      >>> options = dict(num_masks=5, keep=1.0, score=xattr.logit)
      >>> rise(model, x, **options, key=jax.random.key(0)).ravel()
      Array([3., 3.], dtype=float32)

    References:
      [petsiuk2018rise], eq. 6.

    Notes:
      The authors' code masks normalized images, where 0 is the mean color of the
      training data: for a model that takes RGB, `baseline=` that color is the same. It
      draws one set of masks for all images; here each image has its own, so that a map
      does not depend on the batch. Its class for batches leaves out $1/(N p)$.
    """
    check_count("num_masks", num_masks)
    _check(images)
    rows = (
        images,
        one_baseline(images, baseline),
        resolve_targets(model, images, targets, chunk_size),
        per_image(key, images.shape[0]),
    )

    def evaluate(rows, index):
        images, fill, targets, keys = rows
        size = images.shape[1:-1]
        masks = grid_masks(
            fold(keys, index), size, grid=grid, keep=keep, resize=resize
        )[..., None]
        visible = masks.astype(images.dtype)
        masked = visible * images + (1 - visible) * fill
        scores, _ = score_and_targets(score, model(masked), targets)
        return scores.reshape(-1, *[1] * (images.ndim - 1)) * masks

    total = sum_all(evaluate, rows, num=num_masks, chunk_size=chunk_size)
    return (total / (num_masks * keep)).astype(images.dtype)


def _check(images: Images) -> None:
    if images.ndim < 3:
        raise ValueError(
            f"`images` has shape {images.shape}; masks need at least one spatial axis "
            f"between batch and channels, `n h w c`. For features `n f` use "
            f"`images[:, :, None]`."
        )
