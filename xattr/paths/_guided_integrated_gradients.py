"""Guided integrated gradients: a path that moves first where the score cares least."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_count, check_not_negative
from xattr._chunking import sum_all
from xattr._compile import compiled
from xattr._scores import gradient_of_score, logit
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline, baselines_for, pick


@compiled
def guided_integrated_gradients(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    baseline: Baseline | None = None,
    num_steps: int = 200,
    fraction: float = 0.25,
    max_distance: float = 0.02,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""Share of the score's change along a path that avoids steep places.

    Each value $j$ has gone a share $\alpha_j$ of its way $\delta_j = x_j - b_j$. Step
    $s$ of $S$ takes the gradient $g = \nabla f(b + \alpha \odot \delta)$ once, and
    moves until $\sum_j |\delta_j| (1 - \alpha_j) = (1 - t) \sum_j |\delta_j|$ with
    $t = s/S$: values behind $t - d$ are brought there; then the `fraction` of all
    values with the smallest $|g_j|$ goes to $t + d$, or as far as needed, then the
    next such part. Every move counts:

    $$ a_j = \sum_{\text{moves}} g_j\, \delta_j\, \Delta\alpha_j $$

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images.
      baseline: what means "no evidence"; as for `integrated_gradients`.
      num_steps: $S$, gradients per image and baseline, one after another.
      fraction: share of the values that move at a time, in (0, 1].
      max_distance: $d \ge 0$, how far a value may be from the straight path; 0 gives
        integrated gradients by the left Riemann sum.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Signed contributions, whose sum over an image is near $f(x) - f(b)$.

    Raises:
      TypeError: if `baseline` is neither a number nor an array.
      ValueError: if `baseline` does not broadcast to `images`, `num_steps` < 1,
        `fraction` is not in (0, 1] or `max_distance` < 0.

    Example:
      >>> model = lambda x: (x * jnp.array([[2.0, 5.0]])).sum(1)[:, None]
      >>> guided_integrated_gradients(model, jnp.array([[3.0, 4.0]]), num_steps=4)
      Array([[ 6., 20.]], dtype=float32)

    References:
      [kapishnikov2021guided], adaptive paths with anchors.

    Notes:
      As the authors' code, but for three things. Shares of the way are kept instead of
      values, so that "has arrived" is exact. Float32 takes the place of float64; where
      that code stops at a relative difference of 1e-9, this one lets the last part move
      by what is left. One sort a step serves all parts.
    """
    del key
    _check(num_steps, fraction, max_distance)
    baselines = baselines_for(images, baseline)
    rows = (
        images,
        resolve_targets(model, images, targets, chunk_size),
        jnp.arange(images.shape[0]),
    )
    precise = jnp.promote_types(images.dtype, jnp.float32)
    advance = jax.vmap(
        functools.partial(_advance, fraction=fraction), in_axes=(0, 0, 0, None)
    )

    def evaluate(rows, index):
        images, targets, image = rows
        start = pick(baselines, image, index)
        way = (images - start).astype(precise)

        def step(s, state):
            alpha, total = state
            point = start + (alpha * way).astype(images.dtype)
            slope = gradient_of_score(model, point, targets, score).astype(precise)
            moved = advance(alpha, way, slope, _stage(s, num_steps, max_distance))
            return moved, total + (moved - alpha) * way * slope

        zeros = jnp.zeros_like(way)
        _, total = jax.lax.fori_loop(0, num_steps, step, (zeros, zeros))
        return total.astype(images.dtype)

    num = baselines.shape[0]
    return sum_all(evaluate, rows, num=num, chunk_size=chunk_size) / num


class _Stage(NamedTuple):
    """How far the path is to go in a step, and the corridor around it."""

    low: Array
    middle: Array
    high: Array


def _stage(step: Array, num_steps: int, max_distance: float) -> _Stage:
    middle = (step + 1.0) / num_steps
    return _Stage(
        jnp.maximum(middle - max_distance, 0),
        middle,
        jnp.minimum(middle + max_distance, 1),
    )


def _advance(
    alpha: Float[Array, "..."],
    way: Float[Array, "..."],
    slope: Float[Array, "..."],
    stage: _Stage,
    *,
    fraction: float,
) -> Float[Array, "..."]:
    """One image's shares after a step: least slopes first, until it went far enough."""
    low, middle, high = (jnp.asarray(part, alpha.dtype) for part in stage)
    alpha = jnp.maximum(alpha, low)
    length = jnp.abs(way)
    left = (length * (1 - alpha)).sum() - (1 - middle) * length.sum()
    free = (alpha < high) & (way != 0)
    steepness = jnp.where(free, jnp.abs(slope), jnp.inf)
    room = jnp.where(free, length * (high - alpha), 0)
    whole, part, share = _parts_to_move(steepness, room, left, fraction)
    arrived = free & (steepness <= whole)
    moving = free & (steepness > whole) & (steepness <= part)
    return jnp.where(
        arrived, high, jnp.where(moving, alpha + share * (high - alpha), alpha)
    )


def _parts_to_move(
    steepness: Array, room: Array, left: Array, fraction: float
) -> tuple[Array, Array, Array]:
    """Steepness up to which values go all the way, up to which a share of it, which."""
    order = jnp.sort(steepness.ravel())
    rank = math.floor(fraction * (order.size - 1))
    count_free = jnp.isfinite(order).sum()

    def unfinished(state):
        _, part, share, _ = state
        return (share > 1) & ((steepness <= part).sum() < count_free)

    def next_part(state):
        _, whole, _, left = state
        count = (steepness <= whole).sum()
        part = order[jnp.minimum(count + rank, count_free - 1)]
        available = jnp.where((steepness > whole) & (steepness <= part), room, 0).sum()
        share = jnp.where(available > 0, left / available, jnp.inf)
        return whole, part, share, left - available

    nothing = jnp.full((), -1, order.dtype)
    start = (nothing, nothing, jnp.full((), jnp.inf, order.dtype), left)
    whole, part, share, _ = jax.lax.while_loop(unfinished, next_part, start)
    return whole, part, jnp.clip(share, 0, 1)


def _check(num_steps: int, fraction: float, max_distance: float) -> None:
    check_count("num_steps", num_steps)
    if not 0 < fraction <= 1:
        raise ValueError(
            f"`fraction`={fraction}; it must be in (0, 1], such as the paper's 0.25."
        )
    check_not_negative("max_distance", max_distance, 0.02)
