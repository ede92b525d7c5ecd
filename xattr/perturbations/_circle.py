"""The smallest disk in the middle of an image that hides what a score rests on."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from xattr._chunking import evaluate_all
from xattr._scores import score_and_targets
from xattr._types import Images, Predictor, Score
from xattr.images._blur import gaussian_blur

# Of an image of 224 pixels: radii of 0, 5, ..., 170, the last of which covers it all.
_NUM_RADII = 35
_LARGEST = 170 / 224
_STDDEV = 10.0
_LEFT = 0.01

Masks = Float[Array, "n h w"]


def smallest_circle(
    model: Predictor,
    images: Images,
    targets: PyTree,
    fills: Images,
    score: Score,
    chunk_size: int | None,
) -> Masks:
    """Masks, 0 in a soft disk that takes 99 % of what replacing the image takes."""

    def evaluate(rows, index):
        images, targets, fills = rows
        mask = _outside(index, images)[..., None]
        outputs = model(fills + mask * (images - fills))
        return score_and_targets(score, outputs, targets)[0]

    rows = images, targets, fills
    scores = evaluate_all(evaluate, rows, num=_NUM_RADII, chunk_size=chunk_size)
    left = scores - scores[:, -1:]
    # Where replacing all of the image takes nothing, no disk does: the first is empty.
    return _outside((left < _LEFT * left[:, :1]).argmax(axis=1), images)


def _outside(index: Int[Array, " n"], images: Images) -> Masks:
    """One minus a blurred disk."""
    height, width = images.shape[1:3]
    y = jnp.arange(height)[:, None] - height // 2
    x = jnp.arange(width)[None] - width // 2
    radius = index * (_LARGEST * max(height, width) / (_NUM_RADII - 1))
    disks = (y**2 + x**2)[None] < radius[:, None, None] ** 2
    return 1 - jax.lax.clamp(
        jnp.zeros((), images.dtype),
        gaussian_blur(disks.astype(images.dtype), _STDDEV),
        jnp.ones((), images.dtype),
    )
