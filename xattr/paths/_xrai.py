"""XRAI: regions of the image, ranked by the attribution that they gather."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from xattr._checks import check_count
from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.paths._integrated_gradients import integrated_gradients


@compiled
def xrai(
    model: Predictor,
    images: Float[Array, "n h w c"],
    targets: PyTree = None,
    *,
    segments: Bool[Array, "n m h w"],
    baseline: Baseline | None = None,
    num_steps: int = 100,
    min_new_pixels: int = 50,
    fast: bool = False,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n h w 1"]:
    r"""Mean attribution of the region by which each pixel was reached.

    With $A$ the integrated gradients' largest channel and $M$ the pixels covered so
    far, regions $R$ are added one by one, each time the one with the greatest mean over
    the pixels that it adds,

    $$ \arg\max_R \; \tfrac{1}{|R \setminus M|} \sum_{R \setminus M} A_{ij}, $$

    and these pixels get this mean. Regions that add fewer than `min_new_pixels` are
    dropped; pixels that are never reached get their mean of $A$.

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images.
      segments: regions of each image, from `xattr.images.segments(images)`; empty ones
        are ignored.
      baseline: of the integrated gradients; several, with a leading axis, are averaged
        (`jnp.stack([black, white])`). When None, two constants: each image's own least
        and greatest value, as in the authors' code.
      num_steps: gradients per image and baseline.
      min_new_pixels: fewest new pixels for which a region is added.
      fast: rank the regions once, by their mean over all of their pixels, and add them
        in this order.
      score: scalar being explained.
      chunk_size: gradients held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map of one channel, constant where a region was added. Its sum is that of $A$.

    Raises:
      TypeError: if `segments` is no array of booleans.
      ValueError: if `segments` is not `n m h w` with the images' sizes, or
        `min_new_pixels` < 1; what `integrated_gradients` raises.

    Example:
      >>> model = lambda x: (x * jnp.array([[[[1.0], [3.0], [9.0]]]])).sum((1, 2))
      >>> left = jnp.array([[[[True, True, False]]]])
      >>> xrai(
      ...     model, jnp.ones((1, 1, 3, 1)), segments=left,
      ...     num_steps=1, min_new_pixels=1, baseline=jnp.zeros((1, 1, 3, 1))
      ... ).ravel()
      Array([2., 2., 9.], dtype=float32)

    References:
      [kapishnikov2019xrai], algorithm 1.

    Notes:
      The paper sums a region's attribution; the authors' code, and this, take the mean.
    """
    del key
    _check(images, segments, min_new_pixels)
    maps = integrated_gradients(
        model,
        images,
        targets,
        baseline=_extremes(images) if baseline is None else baseline,
        num_steps=num_steps,
        score=score,
        chunk_size=chunk_size,
    ).max(-1)
    add = jax.vmap(
        functools.partial(_add_regions, min_new_pixels=min_new_pixels, fast=fast)
    )

    def evaluate(rows, _):
        return add(*rows)

    # One image at a time: its masks as numbers take more than a network's activations.
    return evaluate_all(evaluate, (maps, segments), chunk_size=1)[:, 0, ..., None]


def _extremes(images: Array) -> Array:
    """Two baselines: the image's least and its greatest value everywhere."""
    return jnp.stack(
        [
            jnp.broadcast_to(extreme, images.shape)
            for extreme in (
                images.min((1, 2, 3), keepdims=True),
                images.max((1, 2, 3), keepdims=True),
            )
        ]
    )


def _add_regions(
    attribution: Float[Array, "h w"],
    segments: Bool[Array, "m h w"],
    *,
    min_new_pixels: int,
    fast: bool,
) -> Float[Array, "h w"]:
    """The map of one image."""
    values = attribution.ravel().astype(
        jnp.promote_types(attribution.dtype, jnp.float32)
    )
    masks = segments.reshape(segments.shape[0], -1).astype(values.dtype)
    gains = _gains(masks, values, jnp.ones_like(values))
    order = jnp.argsort(-gains[0])

    def choose(step: Int[Array, ""], free: Array) -> tuple[Array, Array, Array]:
        """Region, its gain, and whether there is one to add."""
        if fast:
            region = order[step]
            gain, added = _gains(masks[region][None], values, free)
            return region, gain[0], added[0] >= min_new_pixels
        gain, added = _gains(masks, values, free)
        gain = jnp.where(added >= min_new_pixels, gain, -jnp.inf)
        region = gain.argmax()
        return region, gain[region], added[region] >= min_new_pixels

    def proceed(state):
        step, _, _, more = state
        return (step < masks.shape[0]) & more

    def add(state):
        step, result, free, _ = state
        region, gain, found = choose(step, free)
        new = (masks[region] * free > 0) & found
        return (
            step + 1,
            jnp.where(new, gain, result),
            jnp.where(new, 0, free),
            found | fast,
        )

    start = (0, jnp.zeros_like(values), jnp.ones_like(values), jnp.array(True))
    _, result, free, _ = jax.lax.while_loop(proceed, add, start)
    rest = _gains(free[None], values, free)[0][0]
    result = jnp.where(free > 0, rest, result).astype(attribution.dtype)
    return result.reshape(attribution.shape)


def _gains(masks: Array, values: Array, free: Array) -> tuple[Array, Array]:
    """Mean value of the free pixels of each mask, and how many they are."""
    # Sums over pixels, which a device's fast products would round.
    sums, counts = jnp.matmul(
        masks, jnp.stack([values * free, free], axis=1), precision="highest"
    ).T
    return jnp.where(counts > 0, sums / jnp.maximum(counts, 1), -jnp.inf), counts


def _check(images: Array, segments: Array, min_new_pixels: int) -> None:
    dtype = getattr(segments, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.bool_):
        kind = f"a {type(segments).__name__}"
        found = kind if dtype is None else f"an array of {dtype}"
        raise TypeError(
            f"`segments` is {found}; it must be a boolean array, as from "
            f"`xattr.images.segments(images)`."
        )
    if (
        images.ndim != 4
        or segments.ndim != 4
        or (segments.shape[0], *segments.shape[2:]) != images.shape[:3]
    ):
        raise ValueError(
            f"`segments` has shape {segments.shape} for images of shape "
            f"{images.shape}; it must be `n m h w` for images `n h w c`, as from "
            f"`xattr.images.segments(images)`."
        )
    check_count("min_new_pixels", min_new_pixels)
