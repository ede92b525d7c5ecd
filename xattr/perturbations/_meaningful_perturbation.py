"""Meaningful perturbation: the least and smoothest region whose loss costs a class."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from xattr._checks import (
    check_count,
    check_not_negative,
    check_pictures,
    check_positive,
)
from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._descent import adam
from xattr._keys import per_image
from xattr._noise import fold
from xattr._scores import probability, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.images import Resize
from xattr.images import resize as resized
from xattr.images._baselines import blurred
from xattr.images._blur import gaussian_blur
from xattr.paths._baselines import Baseline, one_baseline
from xattr.perturbations._circle import smallest_circle

Start = Literal["circle", "ones"]
Mask = Float[Array, "n i j"]


@compiled
def meaningful_perturbation(
    model: Predictor,
    images: Float[Array, "n h w c"],
    targets: PyTree = None,
    *,
    num_steps: int = 300,
    learning_rate: float = 0.1,
    cell_size: int = 8,
    mask_stddev: float = 5.0,
    jitter: int = 4,
    l1_weight: float = 1e-4,
    tv_weight: float = 1e-2,
    tv_power: float = 3.0,
    start: Start = "circle",
    baseline: Baseline | None = None,
    resize: Resize = "nearest",
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n h w 1"]:
    r"""How much of each pixel is taken away by the least change that costs the class.

    With $m$ a mask of one number in [0, 1] per square of pixels, $U$ its enlargement to
    the image and a blur, $b$ the baseline and $\tau$ a random shift by a few pixels:

    $$ \min_m\; \mathbb E_\tau\, f\big(\tau b + U(m) \odot (\tau x - \tau b)\big)
       + \lambda_1 \sum_{ij} (1 - m_{ij})
       + \lambda_2 \sum_{ij} |\nabla m_{ij}|^\beta $$

    by Adam, a draw of $\tau$ and a cut to [0, 1] at each step. The map is $1 - U(m)$.

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images.
      num_steps: gradients per image.
      learning_rate: of Adam, whose other settings are the usual ones.
      cell_size: side in pixels of the squares that the mask is made of.
      mask_stddev: standard deviation of the mask's blur, in pixels; 0 for none.
      jitter: number of pixels over which the image is shifted; 0 for none, and then no
        `key` is needed.
      l1_weight: $\lambda_1$, price of each square that is taken away.
      tv_weight: $\lambda_2$, price of the mask's slopes.
      tv_power: $\beta$; the larger, the cheaper small slopes.
      start: `circle`, the smallest disk in the middle that takes 99 % of what replacing
        the whole image takes, found by 35 evaluations; or `ones`, nothing taken away.
      baseline: what replaces the pixels, in the units of the images: a number, a color,
        or images that broadcast to `images`; when None, the image blurred by a
        Gaussian of 10 pixels, as `xattr.images.blurred` has it.
      resize: how the mask is enlarged before its blur, `nearest`, into squares,
        `bilinear` or `align_corners`; see `xattr.images.resize`.
      score: scalar being minimized. The weights of the other terms are made for a
        probability.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: one key, or one per image.

    Returns:
      From 0, kept, to 1, replaced by the baseline: the higher, the more important.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if `images` are not `n h w c`, `key` is None though there is `jitter`,
        a setting is out of range, or the baseline does not broadcast to the images.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x[:, 0, :1, 0]
      >>> x = jnp.ones((1, 1, 3, 1))
      >>> settings = dict(cell_size=1, mask_stddev=0, jitter=0, tv_weight=0)
      >>> meaningful_perturbation(
      ...     model, x, **settings, start="ones", baseline=0.0, score=xattr.logit
      ... ).ravel()
      Array([1., 0., 0.], dtype=float32)

    References:
      [fong2017interpretable], eq. 6.

    Notes:
      The authors' script minimizes the probability $p$; the function under it, by its
      own defaults, follows $p \nabla p$ and so minimizes $p^2/2$. For that, pass
      `score=lambda z, t: xattr.probability(z, t) ** 2 / 2`. Their derivative leaves out
      the mask's blur, and the price of squares that are whole; here it is exact. They
      round the blurred mask to 8 bits, stretch the first mask to [0, 1], and try radii
      5 pixels apart whatever the size; here radii scale with the image. Shifts are cuts
      from images that are larger by `jitter` pixels, as there.
    """
    check_pictures(images)
    check_count("cell_size", cell_size)
    check_count("jitter", jitter, least=0)
    check_not_negative("mask_stddev", mask_stddev, 5.0)
    check_not_negative("l1_weight", l1_weight, 1e-4)
    check_not_negative("tv_weight", tv_weight, 1e-2)
    check_positive("tv_power", tv_power, 3.0)
    if start not in get_args(Start):
        raise ValueError(f"`start`={start!r}; it must be 'circle' or 'ones'.")
    n = images.shape[0]
    fills = blurred(images) if baseline is None else one_baseline(images, baseline)
    targets = resolve_targets(model, images, targets, chunk_size)
    masks = _first(start, model, images, targets, fills, score, cell_size, chunk_size)
    keys = per_image(key, n) if jitter else None

    def evaluate(rows, _):
        images, targets, fills, masks, keys = rows
        shifted = _shifts(images, fills, keys, jitter)

        def enlarged(mask: Mask) -> Float[Array, "n h w"]:
            size = mask.shape[1] * cell_size, mask.shape[2] * cell_size
            squares = resized(mask, size, method=resize)
            return gaussian_blur(
                squares[:, : images.shape[1], : images.shape[2]], mask_stddev
            )

        def loss(mask: Mask, t: Array) -> Array:
            shown, hidden = shifted(t)
            keep = enlarged(mask)[..., None].astype(images.dtype)
            outputs = model(hidden + keep * (shown - hidden))
            return (
                score_and_targets(score, outputs, targets)[0].sum()
                + l1_weight * (1 - mask).sum()
                + tv_weight * _slopes(mask, tv_power)
            )

        found = adam(
            loss,
            masks,
            num_steps=num_steps,
            learning_rate=learning_rate,
            project=lambda mask: jnp.clip(mask, 0, 1),
        )
        return jnp.clip(enlarged(1 - found), 0, 1)[..., None].astype(images.dtype)

    rows = images, targets, fills, masks, keys
    return evaluate_all(evaluate, rows, chunk_size=chunk_size)[:, 0]


def _first(
    start: Start,
    model: Predictor,
    images: Images,
    targets: PyTree,
    fills: Images,
    score: Score,
    cell_size: int,
    chunk_size: int | None,
) -> Mask:
    """Where the descent begins, at least in single precision."""
    height, width = images.shape[1:3]
    cells = -(-height // cell_size), -(-width // cell_size)
    dtype = jnp.promote_types(images.dtype, jnp.float32)
    if start == "ones":
        # Like the images, so that it is spread over devices as they are.
        one = jnp.ones_like(images[:, :1, :1, 0], dtype)
        return jnp.broadcast_to(one, (images.shape[0], *cells))
    circle = smallest_circle(model, images, targets, fills, score, chunk_size)
    return resized(circle, cells, method="nearest").astype(dtype)


def _shifts(
    images: Images, fills: Images, keys: Keys | None, jitter: int
) -> Callable[[Array], Any]:
    """Function from a step to images and fills, both at the same random place."""
    if keys is None:
        return lambda t: (images, fills)
    height, width = images.shape[1:3]
    both = jnp.concatenate([images, fills], axis=-1)
    larger = resized(both, (height + jitter, width + jitter))

    def shifted(t: Array) -> list[Array]:
        own = fold(keys, jnp.full(keys.shape, t))
        y, x = jax.vmap(lambda key: jax.random.randint(key, (2,), 0, jitter))(own).T
        rows = _cut(larger, y, 1, height)
        return jnp.split(_cut(rows, x, 2, width), 2, axis=-1)

    return shifted


def _cut(images: Images, begin: Int[Array, " n"], axis: int, size: int) -> Images:
    """Part of each image from its own begin on; of the few, without a gather."""
    begin = begin.reshape(-1, 1, 1, 1)
    parts = [
        jnp.where(begin == y, jax.lax.slice_in_dim(images, y, y + size, axis=axis), 0)
        for y in range(images.shape[axis] - size)
    ]
    return sum(parts[1:], start=parts[0])


def _slopes(mask: Mask, power: float) -> Array:
    """Sum over squares of the length of the gradient, to a power."""
    down = jnp.diff(mask, axis=1, append=mask[:, -1:])
    right = jnp.diff(mask, axis=2, append=mask[:, :, -1:])
    square = down**2 + right**2
    # A root has no derivative at zero.
    flat = square == 0
    return jnp.where(flat, 0, jnp.where(flat, 1, square) ** (power / 2)).sum()
