"""Landmark regression: does a node's place tell where a part of the object is?"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from xattr._checks import check_count
from xattr.graph._instability import Interval, interval, visible_landmarks

# As a share of the image's side: what moves less is at rest.
_AT_REST = 1e-4
# Nodes at once, whose moments fit into memory.
_CHUNK = 512


class LandmarkRegression(NamedTuple):
    """Share of the landmarks' variance that the place of a node leaves unexplained.

    Attributes:
      fitted: in the images that the regressions were fitted to.
      held_out: in the others, which is what counts: 0 for a node that tells exactly
        where the landmark is, 1 for one that tells no more than its mean position.
    """

    fitted: Float[np.ndarray, "v k"]
    held_out: Float[np.ndarray, "v k"]


def landmark_regression(
    positions: Float[np.ndarray | Array, "i v 2"],
    landmarks: Float[np.ndarray | Array, "i k 2"],
    fitted: Bool[np.ndarray | Array, " i"],
) -> LandmarkRegression:
    r"""How much of a landmark's motion each node's place fails to predict.

    With $p_V^I$ the node's position in image $I$, $p_k^I$ that of landmark $k$, and
    $\bar p_k$ its mean over the fitted images, affine maps are fitted by least squares
    to one part of the images, and their errors are summed over the other:

    $$ U_{Vk} = \frac{\sum_I \|p_k^I - a_{Vk} - B_{Vk}\, p_V^I\|^2}
                     {\sum_I \|p_k^I - \bar p_k\|^2} $$

    Location instability is low for whatever stays where it is. Here a node at rest has
    exactly 1, since a constant predicts no more than the mean does.

    Args:
      positions: (row, column) of the nodes, as shares of the image's height and width.
      landmarks: (row, column) as shares, not a number where invisible.
      fitted: the images to which maps are fitted; errors are measured in the others.

    Returns:
      The shares, of both kinds of images. In the fitted ones they are in [0, 1]; in
      the others they may exceed 1. Not a number for a landmark that fewer than two
      images of either kind show, or that has the same place in all.

    Raises:
      ValueError: if shapes do not fit, positions are not finite, a landmark is outside
        the image, or `fitted` chooses all images or none.

    Example:
      The landmark is where the first node is, moved; the second node is at rest, and
      the third moves by itself.

      >>> rows = np.array([0.1, 0.3, 0.5, 0.2, 0.4])
      >>> rest, other = np.full(5, 0.5), np.array([0.2, 0.2, 0.6, 0.6, 0.2])
      >>> places = np.stack([rows, rest, other], 1)[..., None].repeat(2, -1)
      >>> landmark = places[:, :1] / 2 + 0.4
      >>> fitted = np.array([True, True, True, False, False])
      >>> found = landmark_regression(places, landmark, fitted)
      >>> found.fitted[:, 0].round(3).tolist()
      [0.0, 1.0, 0.25]
      >>> found.held_out[:, 0].round(3).tolist()
      [0.0, 1.0, 6.5]

    References:
      [thewlis2017unsupervised], who fit a linear map from all nodes together; here each
      node is asked alone.

    Notes:
      This is one less the coefficient of determination, out of sample. Six numbers
      are fitted: a node that moves without regard to the landmark has about
      1 + 2 / n for n fitted images, not 1. Least squares are regularized as if each
      node had a motion of 1e-4 of the image's side besides its own, so that one at rest
      has the slope 0.
    """
    positions, landmarks, fitted = _checked(positions, landmarks, fitted)
    counts = np.ones((1, len(fitted)))
    shares = _unexplained(positions, landmarks, fitted, counts)
    return LandmarkRegression(*(each[0] for each in shares))


class RegressionIntervals(NamedTuple):
    """What a layer's nodes leave unexplained, averaged over the landmarks.

    Attributes:
      mean: of all nodes.
      best: of one node per landmark, that which explains most of the fitted images.
    """

    mean: Interval
    best: Interval


def regression_intervals(
    positions: Float[np.ndarray | Array, "i v 2"],
    landmarks: Float[np.ndarray | Array, "i k 2"],
    fitted: Bool[np.ndarray | Array, " i"],
    *,
    num_draws: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> RegressionIntervals:
    """Unexplained share of the landmarks' variance, with its bootstrap interval.

    Images are drawn with replacement, as for `instability_interval`; each remains on
    its side of the split. Maps are fitted, and the best nodes chosen, anew.

    Args:
      positions: as for `landmark_regression`.
      landmarks: likewise.
      fitted: likewise.
      num_draws: how often images are resampled.
      confidence: share of the resamplings that an interval holds.
      seed: of the draws.

    Returns:
      Held-out shares and their intervals, as by `interval`. Landmarks whose share is
      not a number do not count.

    Raises:
      TypeError: if `num_draws` is no whole number.
      ValueError: as `landmark_regression`, or if `confidence` is not in (0, 1).

    Example:
      >>> landmarks = np.random.default_rng(0).uniform(size=(40, 1, 2))
      >>> places = np.concatenate([landmarks, np.full((40, 1, 2), 0.5)], 1)
      >>> found = regression_intervals(
      ...     places, landmarks, np.arange(40) < 20, num_draws=9)
      >>> [round(x, 3) for x in (found.mean.mean, found.best.mean)]
      [0.5, 0.0]
    """
    check_count("num_draws", num_draws)
    positions, landmarks, fitted = _checked(positions, landmarks, fitted)
    num = len(fitted)
    rng = np.random.default_rng(seed)
    counts = np.ones((1 + num_draws, num))
    for k in range(num_draws):
        counts[1 + k] = np.bincount(rng.integers(num, size=num), minlength=num)
    seen, held_out = _unexplained(positions, landmarks, fitted, counts)
    best = np.take_along_axis(held_out, seen.argmin(1)[:, None], 1)
    (mean, *means), (least, *leasts) = _mean(held_out), _mean(best)
    return RegressionIntervals(
        interval(mean, np.array(means), confidence=confidence),
        interval(least, np.array(leasts), confidence=confidence),
    )


def _mean(shares: Float[np.ndarray, "s v k"]) -> list[float]:
    """Over nodes and the landmarks that count."""
    known = ~np.isnan(shares)
    num = known.sum((1, 2))
    sums = np.where(known, shares, 0).sum((1, 2))
    return np.where(num > 0, sums / np.maximum(num, 1), np.nan).tolist()


def _checked(
    positions: Float[np.ndarray | Array, "i v 2"],
    landmarks: Float[np.ndarray | Array, "i k 2"],
    fitted: Bool[np.ndarray | Array, " i"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    positions, landmarks, fitted = map(np.asarray, (positions, landmarks, fitted))
    if not len(positions) == len(landmarks) == len(fitted):
        raise ValueError(
            f"`positions`, `landmarks` and `fitted` have the shapes {positions.shape}, "
            f"{landmarks.shape} and {fitted.shape}; they must be of the same images: "
            "i v 2, i k 2 and i."
        )
    if not np.isfinite(positions).all():
        raise ValueError(
            "`positions` are not finite; a node is somewhere in each image."
        )
    visible_landmarks(landmarks)
    if fitted.all() or not fitted.any():
        raise ValueError(
            f"`fitted` chooses {fitted.sum()} of {len(fitted)} images; some must be "
            "left for measuring: `fitted=np.arange(len(positions)) % 2 == 0`."
        )
    return positions, landmarks, fitted


def _unexplained(
    positions: Float[np.ndarray, "i v 2"],
    landmarks: Float[np.ndarray, "i k 2"],
    fitted: Bool[np.ndarray, " i"],
    counts: Float[np.ndarray, "s i"],
) -> tuple[Float[np.ndarray, "s v k"], Float[np.ndarray, "s v k"]]:
    """Shares in fitted and other images, where each image counts so many times.

    All is a function of sums over images, which one product gives for all draws.
    """
    shape = len(counts), positions.shape[1], landmarks.shape[1]
    found = np.full(shape, np.nan), np.full(shape, np.nan)
    for k, landmark in enumerate(landmarks.swapaxes(0, 1)):
        seen = visible_landmarks(landmark)
        sides = [np.flatnonzero(seen & side) for side in (fitted, ~fitted)]
        weights = [counts[:, side] for side in sides]
        for start in range(0, shape[1], _CHUNK):
            nodes = slice(start, start + _CHUNK)
            # Less rounding, where sums are of deviations from the image's middle.
            moments = [
                _moments(positions[side, nodes] - 0.5, landmark[side] - 0.5, weight)
                for side, weight in zip(sides, weights, strict=True)
            ]
            means, maps = _least_squares(moments[0])
            for shares, side in zip(found, moments, strict=True):
                shares[:, nodes, k] = _share(side, means, maps)
        known = np.min([weight.sum(1) for weight in weights], 0) >= 2
        for shares in found:
            shares[~known, :, k] = np.nan
    return found


def _moments(
    positions: Float[np.ndarray, "i v 2"],
    landmark: Float[np.ndarray, "i 2"],
    weights: Float[np.ndarray, "s i"],
) -> Float[np.ndarray, "s v 5 5"]:
    """Sums of all products of 1, the node's position and the landmark's."""
    num, nodes = positions.shape[:2]
    whole = np.ones((num, nodes, 5))
    whole[..., 1:3] = positions
    whole[..., 3:] = landmark[:, None]
    upper = np.triu_indices(5)
    products = whole[..., upper[0]] * whole[..., upper[1]]
    sums = (weights @ products.reshape(num, -1)).reshape(len(weights), nodes, -1)
    found = np.empty((*sums.shape[:2], 5, 5))
    found[..., upper[0], upper[1]] = found[..., upper[1], upper[0]] = sums
    return found


def _least_squares(
    moments: Float[np.ndarray, "s v 5 5"],
) -> tuple[Float[np.ndarray, "s v 4"], Float[np.ndarray, "s v 2 2"]]:
    """Means of the node's position and the landmark's, and the slope from one to it."""
    num = np.maximum(moments[..., 0, 0], 1)
    means = moments[..., 0, 1:] / num[..., None]
    spread = moments[..., 1:, 1:] / num[..., None, None]
    spread = spread - means[..., :, None] * means[..., None, :]
    own = spread[..., :2, :2] + _AT_REST**2 * np.eye(2)
    return means, np.linalg.solve(own, spread[..., :2, 2:])


def _share(
    moments: Float[np.ndarray, "s v 5 5"],
    means: Float[np.ndarray, "s v 4"],
    maps: Float[np.ndarray, "s v 2 2"],
) -> Float[np.ndarray, "s v"]:
    """Squared errors of the maps over those of the mean position."""
    cross = moments[..., 0, 1:, None] * means[..., None, :]
    about = moments[..., 1:, 1:] - cross - cross.swapaxes(-1, -2)
    about += moments[..., :1, :1] * means[..., :, None] * means[..., None, :]
    own, both, theirs = about[..., :2, :2], about[..., :2, 2:], about[..., 2:, 2:]
    whole = np.trace(theirs, axis1=-2, axis2=-1)
    # Of the errors' sum, what differs from the sum around the mean.
    gained = ((2 * both - own @ maps) * maps).sum((-2, -1))
    moved = whole > _AT_REST**2 * moments[..., 0, 0]
    return np.where(moved, 1 - gained / np.where(moved, whole, 1), np.nan)
