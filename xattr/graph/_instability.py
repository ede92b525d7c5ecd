"""Location instability: does a node mark the same place of the object in all images?"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from xattr._checks import check_count

# Resamplings at once, and how many numbers of them fit into a processor's cache.
_DRAWS, _CACHED = 50, 2**17


def location_instability(
    positions: Float[np.ndarray | Array, "i v 2"],
    scores: Float[np.ndarray | Array, "i v"],
    landmarks: Float[np.ndarray | Array, "i k 2"],
    *,
    num_images: int = 20,
    visible_first: bool = False,
    num_units: int | None = None,
) -> Float[np.ndarray, " v"]:
    r"""How much the distance of each node from an object's landmarks varies.

    With $p_V^I$ the node's position in image $I$, $p_k^I$ that of landmark $k$, and
    $I$ running through the images where the node scores highest:

    $$ D_V = \frac1K \sum_k \sqrt{\operatorname{var}_I d_k^I}, \qquad
       d_k^I = \frac{\|p_k^I - p_V^I\|}{\sqrt{w^2 + h^2}} $$

    Args:
      positions: (row, column) of the nodes, as shares of the image's height and width;
        images are taken for squares.
      scores: of the nodes.
      landmarks: (row, column) as shares, not a number where invisible.
      num_images: how many of the images where a node scores highest count; all, if
        there are fewer. Of images with the same score, the first count.
      visible_first: whether images without a landmark are left out before those are
        chosen, so that each landmark has `num_images` images, the stricter protocol; or
        after, as published.
      num_units: count only so many nodes, those with the highest mean of their
        `num_images` highest scores; all when None. The published number is 167.

    Returns:
      A share of the image's diagonal for each node, 0 for one that keeps its distance
      from all landmarks. Not a number where fewer than two images count for every
      landmark, and for nodes that are not among the `num_units`.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if shapes do not fit, positions or scores are not finite, a landmark
        is outside the image, or there are fewer nodes than `num_units`.

    Example:
      >>> positions = np.array([[[0.5, 0.5]], [[0.5, 0.5]]])
      >>> landmarks = np.array([[[0.5, 0.5]], [[0.7, 0.7]]])
      >>> location_instability(positions, np.ones((2, 1)), landmarks).round(4)
      array([0.1414])

    References:
      [zhang2018interpreting]; [zhang2018interpretable].

    Notes:
      The variance is that of a sample, divided by the number of images less one. A
      landmark with fewer than two images does not count for a node.
    """
    nodes = _ranked(positions, scores, landmarks, num_images, num_units)
    counts = np.ones((1, len(nodes.order)), np.int32)
    return _instability(nodes, counts, num_images, visible_first, num_units)[0]


class Interval(NamedTuple):
    """A figure, and where it may be for other images of the kind.

    Attributes:
      mean: the figure.
      low: lower end of the interval.
      high: its upper end.
      draws: the figure for each resampling of the images.
    """

    mean: float
    low: float
    high: float
    draws: Float[np.ndarray, " s"]


def instability_interval(
    positions: Float[np.ndarray | Array, "i v 2"],
    scores: Float[np.ndarray | Array, "i v"],
    landmarks: Float[np.ndarray | Array, "i k 2"],
    *,
    num_images: int = 20,
    visible_first: bool = False,
    num_units: int | None = None,
    num_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean location instability of a layer's nodes, with its bootstrap interval.

    Images are drawn with replacement, the same ones for the same number of images and
    seed. Draws of two methods are therefore pairs: the interval of their ratio is
    `interval(a.mean / b.mean, a.draws / b.draws)`, and so is that of a mean of layers.

    Args:
      positions: as for `location_instability`.
      scores: likewise.
      landmarks: likewise.
      num_images: likewise.
      visible_first: likewise.
      num_units: likewise; the nodes are chosen anew in each resampling.
      num_draws: how often images are resampled.
      confidence: share of the resamplings that the interval holds.
      seed: of the draws.

    Returns:
      The mean over nodes whose instability is a number, and its interval, as by
      `interval`.

    Raises:
      TypeError: as `location_instability`.
      ValueError: as `location_instability`, or if `confidence` is not in (0, 1).

    Example:
      >>> positions = np.full((3, 1, 2), 0.5)
      >>> landmarks = np.full((3, 1, 2), 0.6)
      >>> instability_interval(positions, np.ones((3, 1)), landmarks, num_draws=9)[:3]
      (0.0, 0.0, 0.0)

    Notes:
      All nodes see the same few images, and the variance of few images is uncertain
      itself: of simulated layers with 100 to 400 images, the interval of 90 % missed
      the true mean in 15 to 25 % of the cases. It is the lower bound of what other
      images may change.
    """
    check_count("num_draws", num_draws)
    nodes = _ranked(positions, scores, landmarks, num_images, num_units)
    num = len(nodes.order)

    def means(counts: Int[np.ndarray, "s i"]) -> list[float]:
        found = _instability(nodes, counts, num_images, visible_first, num_units)
        known = ~np.isnan(found)
        return _quotient(np.where(known, found, 0).sum(1), known.sum(1)).tolist()

    rng = np.random.default_rng(seed)
    draws: list[float] = []
    while len(draws) < num_draws:
        # Enough at once for few and long steps, few enough for memory.
        drawn = [
            np.bincount(rng.integers(num, size=num), minlength=num)
            for _ in range(min(_DRAWS, num_draws - len(draws)))
        ]
        draws += means(np.array(drawn, np.int32))
    (mean,) = means(np.ones((1, num), np.int32))
    return interval(mean, np.array(draws), confidence=confidence)


def interval(
    mean: float, draws: Float[np.ndarray, " s"], *, confidence: float = 0.95
) -> Interval:
    """A figure with the interval that its resamplings spread over.

    The percentiles are those of the draws' deviations from their own mean. An image
    that was drawn twice varies less than two images do, so that resampled deviations
    are smaller throughout; that shift is no part of the uncertainty.

    Args:
      mean: the figure.
      draws: the figure for each resampling of the images.
      confidence: share of the draws that the interval holds.

    Example:
      >>> interval(5.0, np.array([1.0, 2.0, 3.0]), confidence=0.5)[:3]
      (5.0, 4.5, 5.5)
    """
    if not 0 < confidence < 1:
        raise ValueError(
            f"`confidence`={confidence}; it must be between 0 and 1: `confidence=0.95`."
        )
    ends = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = mean + np.quantile(draws - draws.mean(), ends)
    return Interval(mean, float(low), float(high), draws)


def visible_landmarks(
    landmarks: Float[np.ndarray, "*i 2"],
) -> Bool[np.ndarray, "*i"]:
    """Which landmarks are visible, all of which must be in the image."""
    visible = np.asarray(~np.isnan(landmarks).any(-1))
    seen = landmarks[visible]
    if not ((seen >= 0) & (seen <= 1)).all():
        raise ValueError(
            f"`landmarks` run from {seen.min():.4g} to {seen.max():.4g}; they must be "
            "shares of the image's height and width, in [0, 1], or not a number where "
            "invisible: `landmarks / (height, width)`."
        )
    return visible


class _Ranked(NamedTuple):
    """Nodes, with the images in the order of each one's scores, highest first."""

    positions: Float[np.ndarray, "i v 2"]
    scores: Float[np.ndarray, "i v"]
    landmarks: Float[np.ndarray, "i k 2"]
    visible: Bool[np.ndarray, "i k"]
    order: Int[np.ndarray, "i v"]


def _ranked(
    positions: Float[np.ndarray | Array, "i v 2"],
    scores: Float[np.ndarray | Array, "i v"],
    landmarks: Float[np.ndarray | Array, "i k 2"],
    num_images: int,
    num_units: int | None,
) -> _Ranked:
    positions, scores, landmarks = map(np.asarray, (positions, scores, landmarks))
    if positions.shape != (*scores.shape, 2) or len(landmarks) != len(scores):
        raise ValueError(
            f"`positions`, `scores` and `landmarks` have the shapes {positions.shape}, "
            f"{scores.shape} and {landmarks.shape}; they must be of the same images "
            "and nodes: i v 2, i v and i k 2."
        )
    if not (np.isfinite(positions).all() and np.isfinite(scores).all()):
        raise ValueError(
            "`positions` or `scores` are not finite; a node is somewhere in each image,"
            " and has the score 0 where it explains nothing."
        )
    visible = visible_landmarks(landmarks)
    check_count("num_images", num_images, least=2)
    if num_units is not None:
        check_count("num_units", num_units)
        if num_units > scores.shape[1]:
            raise ValueError(
                f"`num_units`={num_units}, but there are {scores.shape[1]} nodes: "
                "`num_units=None` counts all."
            )
    order = np.argsort(-scores, axis=0, kind="stable")
    return _Ranked(positions, scores, landmarks, visible, order)


def _instability(
    nodes: _Ranked,
    counts: Int[np.ndarray, "s i"],
    num_images: int,
    visible_first: bool,
    num_units: int | None,
) -> Float[np.ndarray, "s v"]:
    """The instability in sets of images, each of which has each one so many times."""
    found = np.full((len(counts), nodes.order.shape[1]), np.nan)
    wanted, left_out = np.arange(found.shape[1]), np.zeros(found.shape, bool)
    if num_units is not None:
        kept = _strongest(nodes, counts, num_images, num_units)
        wanted = np.unique(kept)
        left_out[:] = True
        np.put_along_axis(left_out, kept, False, 1)
    for some in _chunks(wanted, len(counts) * num_images):
        found[:, some] = _deviation(nodes, some, counts, num_images, visible_first)
    return np.where(left_out, np.nan, found)


def _chunks(nodes: Int[np.ndarray, " v"], each: int) -> Sequence[np.ndarray]:
    """Nodes, as many at once as the cache holds with so many numbers of each."""
    return np.array_split(nodes, max(1, len(nodes) * each // _CACHED))


def _strongest(
    nodes: _Ranked, counts: Int[np.ndarray, "s i"], num_images: int, num_units: int
) -> Int[np.ndarray, "s u"]:
    """In each set of images, the nodes with the highest scores."""
    strength = np.empty((len(counts), nodes.order.shape[1]))
    everything = np.arange(strength.shape[1])
    for some in _chunks(everything, len(counts) * num_images):
        order = nodes.order[:, some]
        best = _best(order, counts, num_images)
        scores = np.take_along_axis(nodes.scores[:, some], order[: best.shape[1]], 0)
        strength[:, some] = (scores * best).sum(1)
    return np.argsort(-strength, axis=1, kind="stable")[:, :num_units]


def _best(
    order: Int[np.ndarray, "i v"], counts: Int[np.ndarray, "s i"], num: int
) -> Int[np.ndarray, "s r v"]:
    """How often each of a node's images counts, the first `num` from the top."""
    depth = num
    while True:
        # Mostly the first few ranks have enough images, and all others are not read.
        depth = min(2 * depth, len(order))
        copies = counts[:, order[:depth]]
        upto = copies.cumsum(1)
        if depth == len(order) or (upto[:, -1] >= num).all():
            return np.clip(num - upto + copies, 0, copies)


def _deviation(
    nodes: _Ranked,
    some: Int[np.ndarray, " v"],
    counts: Int[np.ndarray, "s i"],
    num_images: int,
    visible_first: bool,
) -> Float[np.ndarray, "s v"]:
    """Standard deviation of distances from a landmark, their mean over landmarks."""
    order = nodes.order[:, some]
    best = None if visible_first else _best(order, counts, num_images)
    total = np.zeros((len(counts), len(some)))
    known = np.zeros(total.shape, int)
    for landmark, visible in zip(
        nodes.landmarks.swapaxes(0, 1), nodes.visible.T, strict=True
    ):
        if best is None:
            chosen = _best(order, counts * visible, num_images)
        else:
            chosen = best * visible[order[: best.shape[1]]]
        ranked = order[: chosen.shape[1]]
        apart = nodes.positions[ranked, some] - landmark[ranked].astype(float)
        distance = np.hypot(apart[..., 0], apart[..., 1]) / sqrt(2)
        distance = np.where(visible[ranked], distance, 0)
        num = chosen.sum(1)
        mean = (chosen * distance).sum(1) / np.maximum(num, 1)
        squares = (chosen * (distance - mean[:, None]) ** 2).sum(1)
        total += np.where(num > 1, np.sqrt(squares / np.maximum(num - 1, 1)), 0)
        known += num > 1
    return _quotient(total, known)


def _quotient(sums: np.ndarray, num: np.ndarray) -> np.ndarray:
    """Not a number where nothing was counted."""
    return np.where(num > 0, sums / np.maximum(num, 1), np.nan)
