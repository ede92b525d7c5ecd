"""Scores of images and of what their maps leave of them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_pictures
from xattr._chunking import evaluate_all
from xattr._scores import score_and_targets
from xattr._types import Images, Predictor, Score
from xattr.images import min_max
from xattr.metrics._pixelwise import pixelwise
from xattr.metrics._removal import only_where_ordered, ranks
from xattr.paths._baselines import Baseline, one_baseline


def unit_masks(
    maps: Float[Array, "n *shape"], images: Images, mute: float = 0.0
) -> Float[Array, "n h w"]:
    """Maps from 0 to 1, the share `mute` of their pixels, the smallest, set to 0."""
    check_pictures(images)
    if not 0 <= mute < 1:
        raise ValueError(
            f"`mute`={mute}; it is the share of the pixels that is hidden, at least 0 "
            f"and less than 1: `mute=0.5`."
        )
    flat = pixelwise(maps, images)
    masks = only_where_ordered(min_max(flat), flat)
    if mute == 0:
        return masks
    kept = flat[0].size - round(mute * flat[0].size)
    return jnp.where(ranks(flat) < kept, masks, 0)


def masked(
    images: Images, masks: Float[Array, "n h w"], baseline: Baseline
) -> Float[Array, "n h w c"]:
    """What the masks leave of the images; the baseline elsewhere."""
    share = masks[..., None].astype(images.dtype)
    return share * images + (1 - share) * one_baseline(images, baseline)


def clean_and_masked(
    model: Predictor,
    images: Images,
    seen: Images,
    targets: PyTree,
    score: Score,
    chunk_size: int | None,
) -> tuple[Float[Array, " n"], Float[Array, " n"], PyTree]:
    """Scores of images and of what is seen of them, and of what they are the scores."""

    def evaluate(rows: PyTree, _: Array) -> PyTree:
        images, seen, targets = rows
        clean, targets = score_and_targets(score, model(images), targets)
        return clean, score_and_targets(score, model(seen), targets)[0], targets

    found = evaluate_all(evaluate, (images, seen, targets), chunk_size=chunk_size)
    return jax.tree.map(lambda x: x[:, 0], found)
