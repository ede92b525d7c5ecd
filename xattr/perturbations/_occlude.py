"""Scores with boxes of the images filled, and what is lost by it."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from xattr._scores import score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Predictor, Score
from xattr.paths._baselines import Baseline, one_baseline
from xattr.perturbations._local_update import results_of_changes
from xattr.perturbations._windows import Extent, Windows, slide
from xattr.program import Boxes


def positions(images: Images, window: Extent, stride: Extent) -> Windows:
    """Where the window stands on images `n h w c`, or `n ... c` of any rank."""
    if images.ndim < 3:
        raise ValueError(
            f"`images` has shape {images.shape}; occlusion needs at least one spatial "
            f"axis between batch and channels, `n h w c`. For features `n f` use "
            f"`images[:, :, None]`."
        )
    return slide(images.shape[1:-1], window, stride)


def occluded_scores(
    model: Predictor,
    images: Images,
    targets: PyTree,
    score: Score,
    boxes: Boxes,
    baseline: Baseline,
    chunk_size: int | None,
) -> Float[Array, "n p"]:
    """The score with each box filled, in single precision at least."""

    def evaluate(images: Images, targets: PyTree) -> Float[Array, " m"]:
        scores, _ = score_and_targets(score, model(images), targets)
        return scores.astype(jnp.promote_types(scores.dtype, jnp.float32))

    fill = one_baseline(images, baseline)
    targets = resolve_targets(model, images, targets, chunk_size)
    return results_of_changes(evaluate, images, fill, targets, boxes, chunk_size)


def drops(
    model: Predictor,
    images: Images,
    targets: PyTree,
    score: Score,
    boxes: Boxes,
    baseline: Baseline,
    chunk_size: int | None,
) -> Float[Array, "n p"]:
    """What the score loses when each box is filled.

    The image as it is counts as one more change, of nothing, at the cost of one.
    """
    low, high = boxes
    some_and_none = Boxes(
        np.concatenate([low, low[:1]]), np.concatenate([high, low[:1]])
    )
    scores = occluded_scores(
        model, images, targets, score, some_and_none, baseline, chunk_size
    )
    return scores[:, -1:] - scores[:, :-1]
