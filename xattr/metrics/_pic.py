"""Performance information curves: what maps reveal for the bytes that it costs."""

import io
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt8

from xattr._checks import check_count
from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._scores import predicted, probability, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._curve import Curve, curve
from xattr.metrics._pixelwise import pixelwise
from xattr.metrics._subsets import random_pixels

# Shares of the pixels that are revealed one after the other, as published.
FRACTIONS = (
    0.005,
    0.01,
    0.02,
    0.03,
    0.04,
    0.05,
    0.07,
    0.1,
    0.13,
    0.21,
    0.34,
    0.5,
    0.75,
)


def sic(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    fractions: Sequence[float] = FRACTIONS,
    seeds: float = 0.01,
    min_score: float = 0.8,
    monotone: bool = True,
    num_steps: int = 1000,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Curve:
    r"""Softmax information curve: score regained against information revealed.

    An image is blurred to what linear interpolation makes of a few random pixels, the
    seeds. Then the share $q$ of pixels with the highest values of the map is revealed
    as well, for each $q$ of `fractions`, and the rest interpolated anew: $x_q$. With
    $B$ the bytes of an image as lossless WebP, $x_0$ the blurred one and $x_1$ the
    image itself, the curve goes through the points

    $$ \left(\frac{B(x_q) - B(x_0)}{B(x_1) - B(x_0)},\;
             \frac{f(x_q) - f(x_0)}{f(x_1) - f(x_0)}\right) $$

    cut to [0, 1], and through (0, 0) and (1, 1). A function of the host, which can't be
    traced by `jax.jit`: interpolation and compression of 224 by 224 pixels take about
    three seconds of one core per image.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w 3` or `n h w 1`, in [0, 1]. They are
        rounded to bytes.
      maps: one number per pixel, `n h w` or `n h w 1`, larger for more evidence.
      targets: what `score` selects; when None, the classes predicted on the images.
      fractions: shares of the pixels that are revealed, increasing.
      seeds: share of the pixels that even the blurred image shows.
      min_score: images of a lower score are left out.
      monotone: replace each score by the highest of an image up to it.
      num_steps: the curve is sampled at one point more.
      score: scalar that is regained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: one key, or one per image, for the seeds. Give the same for all methods that
        are compared.

    Returns:
      `fractions` of the information, `scores` regained and the `area` under them,
      between 0 and 1, the higher the better. All scores of an image that is left out
      are not a number: its own is less than `min_score`, its score or bytes are not
      above those of the blurred image, or its map holds a NaN. `median_curve` sums up a
      data set.

    Raises:
      TypeError: if `num_steps` is no whole number, or the images are traced.
      ValueError: if the images are not in [0, 1], the fractions do not increase between
        0 and 1, `seeds` is not from 0 to below 1, the maps do not fit the images, or
        `key` is None.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> x = jax.random.uniform(jax.random.key(1), (1, 16, 16, 3))
      >>> model = lambda x: jnp.stack([x.std((1, 2, 3)), 0 * x[:, 0, 0, 0]], 1)
      >>> options = dict(score=xattr.logit, min_score=0.0, key=jax.random.key(0))
      >>> sic(model, x, jnp.ones((1, 16, 16)), num_steps=4, **options).scores
      Array([[0.  , 0.25, 0.5 , 0.75, 1.  ]], dtype=float32)

    References:
      [kapishnikov2019xrai], section 4.2.

    Notes:
      Fractions, seeds and filters are those of the authors' package, `saliency`, whose
      curves these are, but for what a release of WebP changes in the bytes. The corners
      of the image are always seeds, so that interpolation covers all of it. Pixels that
      equal the last one revealed are revealed too: of a constant map all are, at once,
      and its curve is a straight line.
    """
    return _curve_of(
        model, images, maps, targets, fractions, seeds, min_score, monotone, num_steps,
        score, chunk_size, key,
    )  # fmt: skip


def aic(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    fractions: Sequence[float] = FRACTIONS,
    seeds: float = 0.01,
    monotone: bool = True,
    num_steps: int = 1000,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Curve:
    """Accuracy information curve: whether the class is recognized, as in `sic`.

    The score is 1 where the target is the predicted class, and else 0.

    Args:
      model: function from a batch of images to logits.
      images: images that are explained, `n h w 3` or `n h w 1`, in [0, 1]. They are
        rounded to bytes.
      maps: one number per pixel, `n h w` or `n h w 1`, larger for more evidence.
      targets: a class index per image; when None, the classes predicted on the images.
      fractions: shares of the pixels that are revealed, increasing.
      seeds: share of the pixels that even the blurred image shows.
      monotone: once recognized, an image stays so.
      num_steps: the curve is sampled at one point more.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: one key, or one per image, for the seeds. Give the same for all methods that
        are compared.

    Returns:
      As of `sic`. Left out are images that are not recognized, and those that already
      are when blurred.

    Raises:
      TypeError: if `num_steps` is no whole number, or the images are traced.
      ValueError: as of `sic`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jax.random.uniform(jax.random.key(1), (1, 16, 16, 3))
      >>> model = lambda x: jnp.stack([x.std((1, 2, 3)), 0 * x[:, 0, 0, 0] + 0.25], 1)
      >>> aic(model, x, jnp.ones((1, 16, 16)), key=jax.random.key(0)).area.round(3)
      Array([0.5], dtype=float32)

    References:
      [kapishnikov2019xrai], section 4.2.
    """
    return _curve_of(
        model, images, maps, targets, fractions, seeds, 1.0, monotone, num_steps,
        _recognized, chunk_size, key,
    )  # fmt: skip


def median_curve(curves: Curve) -> Curve:
    """The median over images of curves, point by point, as a curve of one row.

    Args:
      curves: what `sic` or `aic` returned. Images that were left out do not count.

    Returns:
      The same fractions, one row of scores, and the area under it; not a number if all
      images were left out.

    Example:
      >>> import jax.numpy as jnp
      >>> low, high = jnp.array([0.0, 1.0]), jnp.array([1.0, 1.0])
      >>> curves = Curve(jnp.array([0.5, 1.0, 1.0]), low, jnp.stack([low, high, high]))
      >>> median_curve(curves).area
      Array([1.], dtype=float32)
    """
    return curve(curves.fractions, jnp.nanmedian(curves.scores, 0, keepdims=True))


def webp_bytes(image: UInt8[np.ndarray, "h w c"]) -> int:
    """Length of an image as lossless WebP, an estimate of its information.

    Example:
      >>> import numpy as np
      >>> noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
      >>> webp_bytes(noise) > webp_bytes(np.zeros_like(noise))
      True
    """
    from PIL import Image

    file = io.BytesIO()
    shown = image[..., 0] if image.shape[-1] == 1 else image
    Image.fromarray(shown).save(file, format="webp", lossless=True, quality=100)
    return file.tell()


def interpolated(
    image: UInt8[np.ndarray, "h w c"], known: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w c"]:
    """An image of which some pixels are known, the rest linear between them.

    Example:
      >>> import numpy as np
      >>> image = np.array([[[0], [9], [4]], [[0], [9], [4]]], np.uint8)
      >>> interpolated(image, np.zeros((2, 3), bool))[0, :, 0].tolist()
      [0, 2, 4]
    """
    from scipy.interpolate import LinearNDInterpolator

    known = known.copy()
    known[np.ix_([0, -1], [0, -1])] = True
    if known.all():
        return image
    values = image[known].astype(np.float64)
    found = LinearNDInterpolator(np.argwhere(known), values)(np.argwhere(~known))
    # Rounding may put a pixel of the border outside of the triangles.
    found = np.where(np.isnan(found), image.mean((0, 1)), found)
    result = image.copy()
    # Halves are frequent between bytes; single precision brings them back to halves.
    result[~known] = np.round(found.astype(np.float32))
    return result


def _curve_of(
    model: Predictor,
    images: Images,
    maps: Array,
    targets: PyTree,
    fractions: Sequence[float],
    seeds: float,
    min_score: float,
    monotone: bool,
    num_steps: int,
    score: Score,
    chunk_size: int | None,
    key: Keys | None,
) -> Curve:
    check_count("num_steps", num_steps)
    _check(fractions, seeds)
    n, height, width = pixelwise(maps, images).shape
    pictures = _as_bytes(images)
    count = jnp.full(n, int(height * width * seeds))
    keys = per_image(key, n)
    starts = np.asarray(random_pixels(keys, count, (height, width)))
    values = np.asarray(pixelwise(maps, images))
    revealed = np.stack(
        [
            _revealed(*one, fractions)
            for one in zip(pictures, values, starts, strict=True)
        ]
    )
    shown = (revealed / np.float32(255)).astype(images.dtype)
    found = _scores(model, images, targets, jnp.asarray(shown), score, chunk_size)
    scores = np.asarray(found, np.float64)
    sizes = np.array([[webp_bytes(x) for x in row] for row in revealed], np.float64)
    steps = np.linspace(0, 1, num_steps + 1)
    rows = [
        _sampled(b, s, steps, min_score, monotone)
        for b, s in zip(sizes, scores, strict=True)
    ]
    # A map that holds what is no number has no order, and so no curve.
    sampled = np.stack(rows)
    sampled[np.isnan(values).reshape(n, -1).any(1)] = np.nan
    dtype = found.dtype
    return curve(jnp.asarray(steps, dtype), jnp.asarray(sampled, dtype))


def _revealed(
    image: np.ndarray, values: np.ndarray, start: np.ndarray, fractions: Sequence[float]
) -> UInt8[np.ndarray, "s h w c"]:
    """The blurred image, one for each fraction, and the image itself."""
    known = [start | (values >= np.quantile(values, 1 - q)) for q in fractions]
    return np.stack([interpolated(image, k) for k in (start, *known)] + [image])


@compiled
def _scores(
    model: Predictor,
    images: Images,
    targets: PyTree,
    revealed: Float[Array, "n s h w c"],
    score: Score,
    chunk_size: int | None,
) -> Float[Array, "n s"]:
    n, s = revealed.shape[:2]
    targets = resolve_targets(model, images, targets, chunk_size)
    rows = (
        revealed.reshape(-1, *revealed.shape[2:]),
        jax.tree.map(lambda x: jnp.repeat(x, s, axis=0), targets),
    )

    def evaluate(rows: PyTree, _: Array) -> Array:
        shown, targets = rows
        return score_and_targets(score, model(shown), targets)[0]

    return evaluate_all(evaluate, rows, chunk_size=chunk_size).reshape(n, s)


def _sampled(
    sizes: np.ndarray,
    scores: np.ndarray,
    steps: np.ndarray,
    min_score: float,
    monotone: bool,
) -> Float[np.ndarray, " steps"]:
    """The curve of one image, or not a number if it is left out."""
    blurred, whole = scores[0], scores[-1]
    if not (whole >= min_score and whole > blurred and sizes[-1] > sizes[0]):
        return np.full(len(steps), np.nan)
    x = np.clip((sizes[1:-1] - sizes[0]) / (sizes[-1] - sizes[0]), 0, 1)
    y = np.clip((scores[1:-1] - blurred) / (whole - blurred), 0, 1)
    y = np.maximum.accumulate(y) if monotone else y
    x, y = np.append(x, [0, 1]), np.append(y, [0, 1])
    order = np.argsort(x, kind="stable")
    # The end is (1, 1) even where less than everything takes as many bytes.
    return np.append(np.interp(steps[:-1], x[order], y[order]), 1)


def _recognized(outputs: PyTree, targets: Int[Array, " n"]) -> Float[Array, " n"]:
    return (predicted(outputs) == targets).astype(outputs.dtype)


def _as_bytes(images: Images) -> UInt8[np.ndarray, "n h w c"]:
    try:
        values = np.asarray(images)
    except jax.errors.TracerArrayConversionError:
        raise TypeError(
            "`images` are traced by `jax.jit`; information curves are computed on the "
            "host: call `sic(model, images, maps)` outside."
        ) from None
    if values.shape[-1] not in (1, 3) or not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"`images` has {values.shape[-1]} channels with values from "
            f"{values.min():.3g} to {values.max():.3g}; information is measured on "
            f"gray or RGB images in [0, 1]. Where the model takes others, let it "
            f"convert: `lambda x: model((x - mean) / std)`."
        )
    return np.round(values.astype(np.float64) * 255).astype(np.uint8)


def _check(fractions: Sequence[float], seeds: float) -> None:
    inner = [0.0, *fractions, 1.0]
    if len(inner) == 2 or not all(
        a < b for a, b in zip(inner, inner[1:], strict=False)
    ):
        raise ValueError(
            f"`fractions`={fractions!r}; they must increase between 0 and 1: "
            f"`fractions=(0.01, 0.1, 0.5)`."
        )
    if not 0 <= seeds < 1:
        raise ValueError(
            f"`seeds`={seeds}; it must be a share of the pixels below 1: `seeds=0.01`."
        )
