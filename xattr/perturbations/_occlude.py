"""Results of a model for every position of an occluding window."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float, PyTree

from xattr._chunking import evaluate_all
from xattr._scores import score_and_targets
from xattr._types import Images, Predictor, Score
from xattr.paths._baselines import Baseline, one_baseline
from xattr.perturbations._local_update import results_of_changes
from xattr.perturbations._windows import Extent, Windows, slide


def positions(images: Images, window: Extent, stride: Extent) -> Windows:
    """Where the window stands on images `n h w c`, or `n ... c` of any rank."""
    if images.ndim < 3:
        raise ValueError(
            f"`images` has shape {images.shape}; occlusion needs at least one spatial "
            f"axis between batch and channels, `n h w c`. For features `n f` use "
            f"`images[:, :, None]`."
        )
    return slide(images.shape[1:-1], window, stride)


def at_every_position(
    evaluate: Callable[[Images, PyTree], PyTree],
    images: Images,
    rows: PyTree,
    where: Windows,
    baseline: Baseline,
    chunk_size: int | None,
) -> PyTree:
    """Results for the images with each window replaced, `n` and then the positions.

    `evaluate` takes occluded images and what belongs to each of them.
    """
    fill = one_baseline(images, baseline)
    return results_of_changes(evaluate, images, fill, rows, where.boxes, chunk_size)


def occluded_scores(
    model: Predictor,
    images: Images,
    targets: PyTree,
    score: Score,
    where: Windows,
    baseline: Baseline,
    chunk_size: int | None,
) -> Float[Array, "n p"]:
    """The score with the window at each position."""

    def evaluate(images: Images, targets: PyTree) -> Float[Array, " m"]:
        return score_and_targets(score, model(images), targets)[0]

    return at_every_position(evaluate, images, targets, where, baseline, chunk_size)


def clean_scores(
    model: Predictor,
    images: Images,
    targets: PyTree,
    score: Score,
    chunk_size: int | None,
) -> tuple[Float[Array, " n"], PyTree]:
    """Scores of the images as they are, and the targets that stay from here on."""

    def evaluate(rows: Any, _: Array) -> tuple[Array, PyTree]:
        images, targets = rows
        return score_and_targets(score, model(images), targets)

    scores, found = evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)
    return scores[:, 0], found[:, 0] if targets is None else targets
