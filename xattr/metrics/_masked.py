"""Scores of images and of what their maps leave of them."""

from typing import Literal

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

Sign = Literal["signed", "positive"]


def unit_masks(
    maps: Float[Array, "n *shape"],
    images: Images,
    mute: float = 0.0,
    sign: Sign = "signed",
) -> Float[Array, "n h w"]:
    """Maps from 0 to 1, the share `mute` of their pixels, the smallest, set to 0."""
    check_pictures(images)
    if sign not in ("signed", "positive"):
        raise ValueError(
            f"`sign`={sign!r}; what is scaled to [0, 1] is all of the map or what is "
            'positive: `sign="signed"` or `sign="positive"`.'
        )
    if not 0 <= mute < 1:
        raise ValueError(
            f"`mute`={mute}; it is the share of the pixels that is hidden, at least 0 "
            f"and less than 1: `mute=0.5`."
        )
    flat = pixelwise(maps, images)
    scaled = min_max(jnp.maximum(flat, 0) if sign == "positive" else flat)
    masks = only_where_ordered(scaled, flat)
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


def clean_and_seen(
    model: Predictor,
    images: Images,
    seen: Images,
    targets: PyTree,
    score: Score,
    chunk_size: int | None,
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Scores of images and of what is seen of them."""

    def evaluate(rows: PyTree, _: Array) -> PyTree:
        images, seen, targets = rows
        clean, targets = score_and_targets(score, model(images), targets)
        return clean, score_and_targets(score, model(seen), targets)[0]

    found = evaluate_all(evaluate, (images, seen, targets), chunk_size=chunk_size)
    return jax.tree.map(lambda x: x[:, 0], found)


def share_lost(
    clean: Float[Array, " n"], seen: Float[Array, " n"]
) -> Float[Array, " n"]:
    """What is lost of the clean scores, as a share of them; 0 where they are 0."""
    lost = jnp.maximum(clean - seen, 0)
    return jnp.where(clean == 0, 0, lost / jnp.where(clean == 0, 1, clean))
