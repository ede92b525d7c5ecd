"""Region perturbation: the score while regions are replaced in order of relevance."""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from xattr._checks import check_count, check_pictures
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._scores import probability
from xattr._types import Images, Keys, Predictor, Score
from xattr.images import uniform_noise
from xattr.metrics._curve import Curve, curve
from xattr.metrics._pixelwise import pixelwise
from xattr.metrics._removal import (
    only_where_ordered,
    ranks,
    scores_along,
    scores_and_targets,
)
from xattr.paths._baselines import Baseline, one_baseline

Order = Literal["morf", "lerf"]


@compiled
def region_perturbation(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    region_size: int = 9,
    num_regions: int = 100,
    order: Order = "morf",
    baseline: Baseline | None = None,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Curve:
    r"""Score while the regions of a grid are replaced, most or least relevant first.

    The image is divided into squares, each as relevant as the sum of the map over it.
    $x_s$ is the image with the first $s$ of them replaced, $s$ up to `num_regions`.
    With squares of one pixel it is pixel flipping.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per pixel, `n h w` or `n h w 1`; the larger, the more evidence.
      targets: what `score` selects; when None, the classes predicted on the images.
      region_size: side of a square in pixels. The grid begins in the upper left corner;
        squares at the other end are cut by the border.
      num_regions: how many are replaced, one after the other; one evaluation each.
      order: `morf`, the most relevant first, or `lerf`, the least relevant first.
      baseline: what replaces them, in the units of the images: a number, a color, or
        images that broadcast to `images`. When None, uniform noise between the least
        and the largest value of each image, which needs a `key`.
      score: scalar that is watched.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image, for the noise; ignored where there is a baseline.

    Returns:
      A curve over the share of all regions that is replaced, from the clean image on.
      Its area is the mean score: smaller is better for `morf`, larger for `lerf`. Not a
      number where the map holds one that is none.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if a count is less than 1, there are not so many regions, `order` is
        unknown, the maps are not one number for each pixel of the images, the baseline
        does not broadcast to them, or there is neither baseline nor key.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [1.0], [2.0]]]])
      >>> options = dict(region_size=1, num_regions=2, baseline=0.0)
      >>> region_perturbation(model, x, x, **options, score=xattr.logit).scores
      Array([[6., 3., 1.]], dtype=float32)

    References:
      [samek2017evaluating]; [bach2015pixel].

    Notes:
      The paper's number, the area over the curve, is the mean drop over the steps:
      `(found.scores[:, :1] - found.scores).mean(1)`. It replaces 100 regions of 9 x 9
      pixels by uniform noise. Pixel flipping was first done on black and white digits,
      each pixel turned into the other value.

      Quantus returns the drops without the first, which is zero. Its area is a sum over
      steps, not a mean, begins after the first step, and puts regions that do not fill
      the image in its middle. Of equal values the first in reading order goes first
      here, any of them there; in Quantus' pixel flipping each channel of a pixel is a
      feature of its own.
    """
    check_pictures(images)
    if order not in get_args(Order):
        raise ValueError(
            f"`order`={order!r}; it must be 'morf', the most relevant first, or "
            f"'lerf': `order='morf'`."
        )
    flat = pixelwise(maps, images)
    relevance = _region_sums(flat, region_size)
    total = relevance.shape[1] * relevance.shape[2]
    check_count("num_regions", num_regions)
    if num_regions > total:
        raise ValueError(
            f"`num_regions`={num_regions} is more than the {total} regions of "
            f"{region_size} x {region_size} pixels in images of shape "
            f"{images.shape[1:3]}: `num_regions={total}`."
        )
    places = ranks(relevance if order == "morf" else -relevance)
    first, targets = scores_and_targets(model, images, targets, score, chunk_size)
    if baseline is None:
        end = _noise(images, per_image(key, images.shape[0]))
    else:
        end = one_baseline(images, baseline)
    rest = scores_along(
        model,
        images,
        end,
        _enlarged(places, region_size, flat.shape),
        targets,
        counts=range(1, num_regions + 1),
        score=score,
        chunk_size=chunk_size,
    )
    scores = jnp.concatenate([first[:, None], rest], axis=1)
    fractions = jnp.arange(num_regions + 1) / total
    return curve(fractions.astype(scores.dtype), only_where_ordered(scores, flat))


def _region_sums(maps: Float[Array, "n h w"], size: int) -> Float[Array, "n i j"]:
    check_count("region_size", size)
    n, h, w = maps.shape
    whole = jnp.pad(maps, ((0, 0), (0, -h % size), (0, -w % size)))
    return whole.reshape(n, -(-h // size), size, -(-w // size), size).sum((2, 4))


def _enlarged(
    places: Int[Array, "n i j"], size: int, shape: tuple[int, ...]
) -> Int[Array, "n h w"]:
    whole = places.repeat(size, axis=1).repeat(size, axis=2)
    return whole[:, : shape[1], : shape[2]]


def _noise(images: Images, keys: Keys) -> Images:
    low, high = (f((1, 2, 3), keepdims=True) for f in (images.min, images.max))
    return low + (high - low) * uniform_noise(images, key=keys)
