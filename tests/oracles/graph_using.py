"""What is measured of nodes, with loops over nodes, images and pixels."""

import math

import numpy as np


def best_images(scores: np.ndarray, among: list[int], num: int) -> list[int]:
    """Numbers of the images with the highest scores; of equal ones, the first."""
    return sorted(among, key=lambda i: (-scores[i], i))[:num]


def instability(
    positions: np.ndarray,
    scores: np.ndarray,
    landmarks: np.ndarray,
    num_images: int,
    visible_first: bool,
) -> list[float]:
    """Sample standard deviation of the distance, averaged over the landmarks."""
    everywhere = list(range(len(scores)))
    found = []
    for v in range(scores.shape[1]):
        deviations = []
        for k in range(landmarks.shape[1]):
            seen = [i for i in everywhere if not math.isnan(landmarks[i, k, 0])]
            if visible_first:
                chosen = best_images(scores[:, v], seen, num_images)
            else:
                best = best_images(scores[:, v], everywhere, num_images)
                chosen = [i for i in best if i in seen]
            if len(chosen) < 2:
                continue
            d = [math.dist(positions[i, v], landmarks[i, k]) for i in chosen]
            d = [x / math.dist((0, 0), (1, 1)) for x in d]
            middle = sum(d) / len(d)
            variance = sum((x - middle) ** 2 for x in d) / (len(d) - 1)
            deviations.append(math.sqrt(variance))
        found.append(sum(deviations) / len(deviations) if deviations else math.nan)
    return found


def disc(at: tuple[float, float], size: tuple[int, int], radius: float) -> set:
    """Pixels whose middles are less than the radius away from a place."""
    h, w = size
    return {
        (y, x)
        for y in range(h)
        for x in range(w)
        if math.dist(((y + 0.5) / h, (x + 0.5) / w), at) < radius
    }


def overlap(a: set, b: set) -> float:
    return len(a & b) / len(a | b)


def pixels(mask: np.ndarray) -> set:
    return set(map(tuple, np.argwhere(mask).tolist()))


def part_purity(
    positions: np.ndarray,
    scores: np.ndarray,
    masks: np.ndarray,
    num_images: int,
    radius: float,
    threshold: float,
) -> list[float]:
    """Draws the disc of every node in every image."""
    size = masks.shape[2:]
    found = []
    for v in range(scores.shape[1]):
        chosen = best_images(scores[:, v], list(range(len(scores))), num_images)
        shares = []
        for k in range(masks.shape[1]):
            hits = 0
            for i in chosen:
                cell = [
                    min(max(math.floor(p * side), 0), side - 1)
                    for p, side in zip(positions[i, v], size, strict=True)
                ]
                at = ((cell[0] + 0.5) / size[0], (cell[1] + 0.5) / size[1])
                own = disc(at, size, radius)
                hits += overlap(own, pixels(masks[i, k])) > threshold
            shares.append(hits / len(chosen))
        found.append(max(shares))
    return found


def filter_purity(
    activations: np.ndarray, masks: np.ndarray, probability: float, threshold: float
) -> list[float]:
    """Enlarges each channel's valid cells to pixels."""
    n, h, w, channels = activations.shape
    down, across = masks.shape[2] // h, masks.shape[3] // w
    found = []
    for d in range(channels):
        values = activations[..., d].ravel().tolist()
        limit = min(
            t
            for t in values
            if sum(x > t for x in values) <= probability * len(values) + 1e-9
        )
        shares = []
        for k in range(masks.shape[1]):
            showing = [i for i in range(n) if masks[i, k].any()]
            hits = 0
            for i in showing:
                valid = {
                    (y, x)
                    for y in range(masks.shape[2])
                    for x in range(masks.shape[3])
                    if activations[i, y // down, x // across, d] > limit
                }
                hits += overlap(valid, pixels(masks[i, k])) > threshold
            if showing:
                shares.append(hits / len(showing))
        found.append(max(shares))
    return found


def vote(
    displacements: np.ndarray,
    positions: np.ndarray,
    scores: np.ndarray,
    grid: int,
    decay: float,
    reach: float,
) -> tuple[tuple[float, float], float, int]:
    """Position, score and template of a part in one image, cell by cell."""
    best = ((math.nan, math.nan), 0.0, 0)
    for t, ways in enumerate(displacements):
        at = [tuple(math.floor(c * grid) for c in p) for p in positions + ways]
        for y in range(grid):
            for x in range(grid):
                total = 0.0
                for (row, column), score in zip(at, scores, strict=True):
                    inside = 0 <= row < grid and 0 <= column < grid
                    far = max(abs(row - y), abs(column - x)) / grid
                    if inside and far <= reach + 1e-6:
                        away = math.dist((row, column), (y, x)) / grid
                        total += score * math.exp(-away / decay)
                total /= len(scores)
                if total > best[1] + 1e-9:
                    best = (((y + 0.5) / grid, (x + 0.5) / grid), total, t)
    return best
