"""The explanatory graph in NumPy, from its description, in whole arrays.

Python loops are over images, and where arrays would outgrow the processor's cache over
channels (who else is at a candidate) and nodes (who moves as they do).

Nodes are ordered channel by channel and look at square maps. A node's candidates are
the middles of 6 x 6 bins of a window of whole cells, positions are (row, column) in
cells, and 0 is the middle of the first cell.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

BINS = 6


@dataclass
class Expectation:
    """What the E-step finds, with everything that it computes on the way.

    Attributes:
      shifts: how far each node's parents move it, `i v 2`.
      widths: of its Gaussian, `v`.
      agreement: of its parents, `i v`.
      centres: where it is expected, `i v 2`.
      corners: first row and column of its window, whole cells, `i v 2`.
      radii: half the side of its window, whole cells, `v`.
      prior: density of the node at its candidates, `i v 6 6`.
      activation: smoothed mass at its candidates, `i v 6 6`.
      responsibilities: the node's share of what is at its candidates, `i v 6 6`.
      tau: density of what no node explains, `i`.
      positions: candidates where prior times activation is largest, `i v 2`.
      scores: sum of that product, `i v`.
      peaks: the product there, `i v`.
      log_likelihood: of the mass of all units, at their cells.
    """

    shifts: np.ndarray
    widths: np.ndarray
    agreement: np.ndarray
    centres: np.ndarray
    corners: np.ndarray
    radii: np.ndarray
    prior: np.ndarray
    activation: np.ndarray
    responsibilities: np.ndarray
    tau: np.ndarray
    positions: np.ndarray
    scores: np.ndarray
    peaks: np.ndarray
    log_likelihood: float


def edges(
    upper_positions: np.ndarray,
    upper_scores: np.ndarray,
    positions: np.ndarray,
    peaks: np.ndarray,
    *,
    upper_side: int,
    side: int,
    stride: float,
    upper_stride: float,
    num_parents: int = 15,
    num_candidates: int = 600,
    compat: str | None = None,
) -> np.ndarray:
    """The nodes above that move as each node does where it is active, best first.

    Of equal ones, the one with the higher score comes first, then the one with the
    smaller index; of equally still ones, the one with the higher score is dropped.
    """
    order = np.argsort(-upper_scores.sum(0), kind="stable")
    variance = upper_positions.var(0).sum(-1)[order]
    still = np.argsort(variance, kind="stable")[: len(order) // 2]
    edge = 0.1 * (side if compat == "matlab" else upper_side)
    distance = upper_positions.mean(0)[order] + 0.5
    inside = ((distance >= edge) & (distance <= 9 * edge)).all(-1)
    inside[still] = False
    candidates = order[inside][:num_candidates]
    if len(candidates) < num_parents:
        raise ValueError(f"{len(candidates)} candidates for {num_parents} parents")

    moves = (positions - positions.mean(0)) * stride
    above = (upper_positions - upper_positions.mean(0))[:, candidates] * upper_stride
    together = np.empty((positions.shape[1], len(candidates)))
    # A node with its candidates in all images fits the processor's cache; all do not.
    for v, own in enumerate(np.moveaxis(moves, 1, 0)):
        rows, columns = (own[:, None, axis] - above[..., axis] for axis in (0, 1))
        squared = rows**2 + columns**2
        # Where nothing moves, all candidates move as the node does.
        spread = 2 * squared.mean() or 1.0
        together[v] = peaks[:, v] @ np.exp(-squared / spread)
    best = np.argsort(-together, axis=1, kind="stable")[:, :num_parents]
    return candidates[best]


def expectation(
    mass: np.ndarray,
    means: np.ndarray,
    scales: np.ndarray,
    parents: np.ndarray | None,
    upper_positions: np.ndarray | None = None,
    upper_resting: np.ndarray | None = None,
    upper_scales: np.ndarray | None = None,
    *,
    upper_side: int | None = None,
    first: bool,
    tau: float = 0.1,
    compat: str | None = None,
) -> Expectation:
    """Where every node is in every image, of one layer."""
    num_images, side, _, channels = mass.shape
    num_nodes = len(means)
    radii = np.maximum(1, whole(np.minimum(0.3 * side / 2, 3 * scales))).astype(int)

    if first:
        shifts = np.zeros((num_images, num_nodes, 2))
        widths = np.full(num_nodes, 0.15 * side)
        agreement = np.ones((num_images, num_nodes))
    else:
        assert parents is not None
        assert upper_positions is not None
        assert upper_resting is not None
        assert upper_scales is not None
        assert upper_side is not None
        ratio = 1.0 if compat == "matlab" else side / upper_side
        shifts, widths, agreement = said_by_parents(
            (upper_positions - upper_resting) * ratio, upper_scales * ratio, parents
        )
    centres = means + shifts
    corners = whole(centres).astype(int) - radii[:, None]
    middles = (np.arange(BINS) + 0.5)[:, None] * (2 * radii / BINS)[:, None, None]

    grids = (num_images, num_nodes, BINS, BINS)
    prior, activation, responsibilities = (np.empty(grids) for _ in range(3))
    positions = np.empty((num_images, num_nodes, 2))
    scores, peaks = (np.empty((num_images, num_nodes)) for _ in range(2))
    none = np.empty(num_images)
    log_likelihood = 0.0
    nodes = np.arange(num_nodes)
    for i in range(num_images):
        candidates = corners[i][:, None] + middles
        density = normal(candidates - centres[i][:, None], widths[:, None, None])
        rows, columns = density[..., 0], density[..., 1]
        prior[i] = agreement[i][:, None, None] * rows[:, :, None] * columns[:, None, :]
        activation[i] = smoothed(mass[i], corners[i], radii)
        none[i] = tau * prior[i].sum((1, 2)).mean()
        total = sum_of_priors(prior[i], corners[i], radii, channels) + none[i]
        responsibilities[i] = prior[i] / total
        log_likelihood += likelihood(mass[i], centres[i], widths, agreement[i], none[i])

        product = (prior[i] * activation[i]).reshape(num_nodes, -1)
        best = product.argmax(1)
        positions[i, :, 0] = candidates[nodes, best // BINS, 0]
        positions[i, :, 1] = candidates[nodes, best % BINS, 1]
        scores[i] = product.sum(1)
        peaks[i] = product[nodes, best]
    return Expectation(
        shifts=shifts,
        widths=widths,
        agreement=agreement,
        centres=centres,
        corners=corners,
        radii=radii,
        prior=prior,
        activation=activation,
        responsibilities=responsibilities,
        tau=none,
        positions=positions,
        scores=scores,
        peaks=peaks,
        log_likelihood=float(log_likelihood),
    )


def likelihood(
    mass: np.ndarray,
    centres: np.ndarray,
    widths: np.ndarray,
    agreement: np.ndarray,
    none: float,
) -> float:
    """Of the mass `h w d` of one image under all nodes of each channel."""
    side, _, channels = mass.shape
    away = np.arange(side) - centres[..., None]
    rows, columns = np.moveaxis(normal(away, widths[:, None, None]), 1, 0)
    rows = (agreement[:, None] * rows).reshape(channels, -1, side)
    columns = columns.reshape(channels, -1, side)
    whole = rows.swapaxes(1, 2) @ columns + none
    return float((np.moveaxis(mass, -1, 0) * np.log(whole)).sum())


def whole(x: np.ndarray) -> np.ndarray:
    return np.floor(x + 0.5)


def normal(distance: np.ndarray, stddev: np.ndarray | float) -> np.ndarray:
    scaled = np.exp(-(distance**2) / (2 * np.square(stddev)))
    return scaled / (np.sqrt(2 * np.pi) * stddev)


def said_by_parents(
    moved: np.ndarray, scales: np.ndarray, parents: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shifts `i v 2`, widths `v` and agreement `i v` from how far nodes above moved."""
    num_nodes, num_parents = parents.shape
    own = scales[parents]
    weights = 1 / num_parents / own**2
    widths = weights.sum(1) ** -0.5
    shifts = np.empty((len(moved), num_nodes, 2))
    agreement = np.empty((len(moved), num_nodes))
    for i, move in enumerate(moved):
        said = move[parents]
        shifts[i] = (weights[..., None] * said).sum(1) / weights.sum(1)[:, None]
        apart = ((shifts[i][:, None] - said) ** 2).sum(-1)
        factors = np.exp(-apart / (2 * num_parents * own**2)) / own
        agreement[i] = widths * factors.prod(1)
    return shifts, widths, agreement


def smoothed(mass: np.ndarray, corners: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Mass `h w d` at the nodes' candidates, `v 6 6`, from all cells of each window."""
    side, _, channels = mass.shape
    by_channel = np.ascontiguousarray(np.moveaxis(mass, -1, 0))
    own = np.repeat(np.arange(channels), len(corners) // channels)
    out = np.empty((len(corners), BINS, BINS))
    for radius in np.unique(radii):
        some = np.flatnonzero(radii == radius)
        steps = np.arange(2 * radius + 1)
        rows = corners[some, 0, None] + steps
        columns = corners[some, 1, None] + steps
        inside = ((rows >= 0) & (rows < side))[:, :, None]
        inside = inside & ((columns >= 0) & (columns < side))[:, None, :]
        rows, columns = (np.clip(cells, 0, side - 1) for cells in (rows, columns))
        windows = by_channel[
            own[some][:, None, None], rows[:, :, None], columns[:, None, :]
        ]
        # Windows of one size share where candidates lie between their cells.
        windows = np.where(inside, windows, 0).reshape(len(some), -1)
        out[some] = (windows @ kernel(radius, side).T).reshape(-1, BINS, BINS)
    return out


def kernel(radius: int, side: int) -> np.ndarray:
    """What each candidate takes from each cell of a window, `36 cells`."""
    middles = (np.arange(BINS) + 0.5) * 2 * radius / BINS
    along = (middles[:, None] - np.arange(2 * radius + 1)) ** 2
    distance = np.sqrt(along[:, None, :, None] + along[None, :, None, :])
    stddev = 0.025 * side
    return normal(np.minimum(distance, 3 * stddev), stddev).reshape(BINS**2, -1)


def sum_of_priors(
    prior: np.ndarray, corners: np.ndarray, radii: np.ndarray, channels: int
) -> np.ndarray:
    """At each node's candidates, the priors of all nodes of its channel, `v 6 6`."""
    priors = prior.reshape(channels, -1, BINS, BINS)
    num = priors.shape[1]
    own = radii.reshape(channels, num, 1, 1, 1)
    other = radii.reshape(channels, 1, 1, num, 1)
    first = corners.reshape(channels, num, 1, 1, 2)
    other_first = corners.reshape(channels, 1, 1, num, 2)
    # Candidate q is (2q + 1) R / 6 cells from the corner, so that six times a distance
    # is a whole number and bins end where they should.
    odd = (2 * np.arange(BINS) + 1)[:, None, None]
    sixfold = 6 * (first - other_first) + odd * own
    nearest = np.clip(sixfold // (2 * other), 0, BINS - 1)
    outside = (sixfold < 0) | (sixfold > 12 * other)
    # Outside of a window is one more bin, in which the prior is zero.
    nearest[outside] = BINS
    padded = np.pad(priors, ((0, 0), (0, 0), (0, 1), (0, 1)))
    nodes = np.arange(channels * num).reshape(channels, 1, 1, num) * (BINS + 1) ** 2
    rows = nodes + nearest[..., 0] * (BINS + 1)
    columns = nearest[..., 1]
    total = np.empty(priors.shape)
    # Channels have nothing in common, and one of them fits the processor's cache.
    for d in range(channels):
        total[d] = padded.take(rows[d][:, :, None] + columns[d][:, None]).sum(-1)
    return total.reshape(prior.shape)


def maximization(
    found: Expectation,
    means: np.ndarray,
    scales: np.ndarray,
    *,
    iteration: int,
    eta: float = 1.0,
    rho: float,
    compat: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """New means and scales; those of nodes without weight stay as they are."""
    num_nodes = len(means)
    units = 2 * found.radii / BINS
    middles = (np.arange(BINS) + 0.5)[:, None] * units[:, None, None]
    grid = np.arange(BINS) - (BINS - 1) / 2
    squares = grid[:, None] ** 2 + grid**2

    weight, spread, product = (np.zeros(num_nodes) for _ in range(3))
    pull = np.zeros((num_nodes, 2))
    for i in range(len(found.prior)):
        taken = found.responsibilities[i] * found.activation[i]
        away = found.corners[i][:, None] + middles - found.centres[i][:, None]
        pull[:, 0] += (taken.sum(2) * away[..., 0]).sum(1)
        pull[:, 1] += (taken.sum(1) * away[..., 1]).sum(1)
        weight += taken.sum((1, 2))
        explained = found.prior[i] * found.activation[i]
        spread += (explained * squares).sum((1, 2))
        product += explained.sum((1, 2))

    step = eta * found.widths.min() ** 2 / np.sqrt(iteration)
    moves = step * pull / (found.widths**2 * np.where(weight > 0, weight, 1))[:, None]
    new_means = np.where(weight[:, None] > 0, means + moves, means)
    square = spread / np.where(product > 0, product, 1)
    if compat != "matlab":
        square = square / 2
    low, high = 0.1 / np.sqrt(rho), 1 / np.sqrt(rho)
    new_scales = np.clip(units * np.sqrt(square), low, high)
    return new_means, np.where(product > 0, new_scales, scales)


def fit(
    mass: np.ndarray,
    means: np.ndarray,
    scales: np.ndarray | None = None,
    *,
    stride: float,
    upper: dict[str, Any] | None = None,
    num_iterations: int = 20,
    num_parents: int = 15,
    num_candidates: int = 600,
    tau: float = 0.1,
    eta: float = 1.0,
    compat: str | None = None,
) -> dict[str, Any]:
    """A whole layer, from where its nodes start.

    The result serves as `upper` of the layer below. `likelihoods` and `history` (means,
    scales and parents) have one entry of each E-step, the last one included.
    """
    _, side, _, channels = mass.shape
    rho = len(means) / channels / side**2
    scales = np.full(len(means), 0.15 * side) if scales is None else scales
    parents = None
    given: dict[str, Any] = {"tau": tau, "compat": compat}
    if upper is not None:
        given |= {
            "upper_positions": upper["positions"],
            "upper_resting": upper["positions"].mean(0),
            "upper_scales": upper["scales"],
            "upper_side": upper["side"],
        }
    likelihoods, history = [], []
    found = None
    for t in range(1, num_iterations + 2):
        if found is not None and upper is not None and t <= num_iterations:
            parents = edges(
                upper["positions"],
                upper["scores"],
                found.positions,
                found.peaks,
                upper_side=upper["side"],
                side=side,
                stride=stride,
                upper_stride=upper["stride"],
                num_parents=num_parents,
                num_candidates=num_candidates,
                compat=compat,
            )
        # Frees the arrays of the last step before the next ones are made.
        found = None
        found = expectation(
            mass, means, scales, parents, first=parents is None, **given
        )
        likelihoods.append(found.log_likelihood)
        history.append((means, scales, parents))
        if t <= num_iterations:
            means, scales = maximization(
                found, means, scales, iteration=t, eta=eta, rho=rho, compat=compat
            )
    assert found is not None
    return {
        "means": means,
        "scales": scales,
        "parents": parents,
        "positions": found.positions,
        "scores": found.scores,
        "peaks": found.peaks,
        "resting": found.positions.mean(0),
        "strength": found.scores.mean(),
        "side": side,
        "stride": stride,
        "likelihoods": np.array(likelihoods),
        "history": history,
    }


def initial_means(
    rng: np.random.Generator, side: int, channels: int, num: int
) -> np.ndarray:
    """Distinct random cells of each channel, `v 2`."""
    cells = [rng.permutation(side**2)[:num] for _ in range(channels)]
    return np.stack(np.divmod(np.concatenate(cells), side), -1).astype(float)


class Parts(NamedTuple):
    """Features of parts that move, and what is true of them.

    Attributes:
      upper_mass: a blob in each channel, `i h w d`.
      mass: two blobs in each channel, `i h w d`.
      upper_positions: of the blobs, `i d 2` in cells.
      positions: of the blobs, `i d 2 2` in cells.
      upper_parts: the part that each upper blob belongs to, `d`.
      parts: the same of the lower ones, `d 2`.
    """

    upper_mass: np.ndarray
    mass: np.ndarray
    upper_positions: np.ndarray
    positions: np.ndarray
    upper_parts: np.ndarray
    parts: np.ndarray


def synthetic(
    rng: np.random.Generator,
    *,
    num_images: int = 40,
    num_parts: int = 4,
    upper_channels: int = 8,
    channels: int = 4,
    upper_side: int = 14,
    side: int = 28,
    motion: float = 1.5,
    jitter: float = 0.0,
    noise: float = 0.0,
    upper_stddev: float = 0.7,
    stddev: float = 1.0,
) -> Parts:
    """Parts that move apart from each other, seen by two layers.

    A part's displacement is uniform in `[-motion, motion]^2` cells of the upper layer.
    Channel `d` of that layer shows part `d % num_parts`; a lower channel shows two
    blobs of different parts. Blobs rest where they stay on the map, those of one
    channel so far from each other that they never meet half-way.

    Args:
      rng: of everything that is drawn.
      num_images: images.
      num_parts: things that move on their own.
      upper_channels: channels of the upper layer.
      channels: channels of the lower layer.
      upper_side: cells along a side of the upper map.
      side: the same of the lower map.
      motion: largest displacement along an axis, in cells of the upper map.
      jitter: standard deviation of each lower blob's own motion, in cells.
      noise: standard deviation of what is added to each unit; a blob's peak is 1.
      upper_stddev: radius of an upper blob, in cells.
      stddev: radius of a lower blob, in cells.
    """
    ratio = side / upper_side
    moves = rng.uniform(-motion, motion, (num_images, num_parts, 2))
    upper_parts = np.arange(upper_channels) % num_parts
    margin = motion + 0.15 * upper_side
    rest = rng.uniform(margin, upper_side - 1 - margin, (upper_channels, 2))
    upper_positions = rest + moves[:, upper_parts]

    parts = np.stack(
        [rng.choice(num_parts, 2, replace=num_parts < 2) for _ in range(channels)]
    )
    margin, span = ratio * motion + 2 * stddev, 2 * (ratio * motion + 2 * stddev)
    places = np.empty((channels, 2, 2))
    for d in range(channels):
        for _ in range(10_000):
            places[d] = rng.uniform(margin, side - 1 - margin, (2, 2))
            if np.abs(places[d, 0] - places[d, 1]).max() >= span:
                break
        else:
            raise ValueError(f"motion={motion} leaves no room on {side} cells")
    positions = places + ratio * moves[:, parts]
    positions = positions + jitter * rng.standard_normal(positions.shape)

    upper_mass = blobs(upper_positions[:, :, None], upper_side, upper_stddev)
    mass = blobs(positions, side, stddev)
    upper_mass = upper_mass + noise * rng.standard_normal(upper_mass.shape)
    mass = mass + noise * rng.standard_normal(mass.shape)
    upper_mass, mass = np.maximum(upper_mass, 0), np.maximum(mass, 0)
    return Parts(upper_mass, mass, upper_positions, positions, upper_parts, parts)


def blobs(positions: np.ndarray, side: int, stddev: float) -> np.ndarray:
    """Gaussians of height 1 at `i d b 2`, summed over `b` to `i h w d`."""
    along = np.exp(
        -((positions[..., None, :] - np.arange(side)[:, None]) ** 2) / (2 * stddev**2)
    )
    return np.einsum("idbh,idbw->ihwd", along[..., 0], along[..., 1])
