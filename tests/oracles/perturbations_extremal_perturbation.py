"""Extremal perturbation with loops, its derivatives written by hand."""

import functools
import math

import numpy as np

from tests.oracles.network import Network, blur


def extremal_perturbation(
    network: Network,
    image: np.ndarray,
    target: int,
    fill: np.ndarray | None,
    *,
    area: float,
    game: str,
    num_steps: int,
    cell_size: int,
    reach: int,
    num_levels: int,
    max_stddev: float,
) -> np.ndarray:
    """The mask of one image."""
    h, w, _ = image.shape
    cells = -(-h // cell_size), -(-w // cell_size)
    ones = round(area * h * w)
    if fill is None:
        levels = pyramid(image, num_levels, max_stddev)
    else:
        levels = [fill, image]
    heights, velocity, weight = np.ones(cells), np.zeros(cells), 300.0
    for t in range(num_steps):
        frame, by_heights, (top, left) = smooth_mask(heights, cell_size, reach)
        mask = frame[top : top + h, left : left + w]
        by_frame = weight * 2 * (frame - largest(frame, ones)) / frame.size
        by_mask = by_frame[top : top + h, left : left + w]
        for sign in {"preserve": [1], "delete": [-1], "dual": [1, -1]}[game]:
            keep = mask if sign == 1 else 1 - mask
            shown, change = between(levels, keep)
            seen = shown[:, ::-1] if t % 2 == 0 else shown
            by_seen = network.gradient(seen, target)
            by_shown = by_seen[:, ::-1] if t % 2 == 0 else by_seen
            # The sign of the game, and that of the mask in what is kept, are the same.
            by_mask -= (by_shown * change).sum(-1)
        gradient = np.einsum("yx,yxij->ij", by_frame, by_heights)
        velocity = gradient if t == 0 else 0.9 * velocity + 0.1 * gradient
        heights = np.clip(heights - 0.01 * velocity, 0, 1)
        weight *= 1.0035
    frame, _, (top, left) = smooth_mask(heights, cell_size, reach)
    return frame[top : top + h, left : left + w]


def smooth_mask(
    heights: np.ndarray, cell_size: int, reach: int
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """The mask on the frame, its derivative, and where the image begins."""
    margin = cell_size * -(-reach // cell_size)
    near = 1 + -(-reach // cell_size)
    rows, columns = (cell_size * (n - 1) + 2 * margin + 1 for n in heights.shape)
    frame = np.zeros((rows, columns))
    derivative = np.zeros((rows, columns, *heights.shape))
    known = {at: float(value) for at, value in np.ndenumerate(heights)}
    for y in range(rows):
        for x in range(columns):
            v, u = y - margin, x - margin
            bumps = {}
            for i in range(v // cell_size - near, v // cell_size + near + 1):
                for j in range(u // cell_size - near, u // cell_size + near + 1):
                    kernel = bump(v - cell_size * i, u - cell_size * j, reach)
                    bumps[i, j] = (kernel, known.get((i, j), 0.0) * kernel)
            weights = {at: math.exp(20 * value) for at, (_, value) in bumps.items()}
            total = sum(weights.values())
            soft = sum(weights[at] * value for at, (_, value) in bumps.items()) / total
            frame[y, x] = soft
            for (i, j), (kernel, value) in bumps.items():
                if (i, j) in known:
                    slope = weights[i, j] / total * (1 + 20 * (value - soft))
                    derivative[y, x, i, j] = kernel * slope
    return frame, derivative, (margin, margin)


@functools.cache
def bump(down: int, right: int, reach: int) -> float:
    """What a cell so far away shows of itself."""
    return math.exp(-2 * max(math.hypot(down, right) / reach - 0.5, 0) ** 2)


def largest(frame: np.ndarray, count: int) -> np.ndarray:
    """One for the largest values; those that are equal to the least of them share."""
    least = np.sort(frame.ravel())[-count]
    equal = np.abs(frame - least) < 1e-5
    above = (frame > least) & ~equal
    return above + equal * (count - above.sum()) / equal.sum()


def between(
    levels: list[np.ndarray], keep: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The image of a mask, and its derivative by the mask."""
    shown, change = np.zeros_like(levels[0]), np.zeros_like(levels[0])
    last = len(levels) - 1
    for y in range(keep.shape[0]):
        for x in range(keep.shape[1]):
            below = min(int(keep[y, x] * last), last - 1)
            part = keep[y, x] * last - below
            low, high = levels[below][y, x], levels[below + 1][y, x]
            shown[y, x] = (1 - part) * low + part * high
            change[y, x] = last * (high - low)
    return shown, change


def pyramid(image: np.ndarray, num_levels: int, max_stddev: float) -> list[np.ndarray]:
    """The image from most blurred to sharp."""
    levels = []
    for level in range(num_levels):
        stddev = max_stddev * (1 - level / (num_levels - 1))
        rows, columns = (blur(size, stddev) for size in image.shape[:2])
        levels.append(np.einsum("yi,xj,ijc->yxc", rows, columns, image))
    return levels
