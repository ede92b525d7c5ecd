"""Meaningful perturbation with loops, its derivatives written by hand."""

from collections.abc import Sequence

import numpy as np

from tests.oracles.adam import adam
from tests.oracles.network import Network, bilinear, blur


def meaningful_perturbation(
    network: Network,
    image: np.ndarray,
    target: int,
    fill: np.ndarray,
    start: np.ndarray,
    shifts: Sequence[tuple[int, int]],
    *,
    cell_size: int,
    mask_stddev: float,
    jitter: int,
    l1_weight: float,
    tv_weight: float,
    tv_power: float,
) -> np.ndarray:
    """What is taken away of each pixel of one image, after as many steps as shifts."""
    h, w, _ = image.shape
    rows = blur(h, mask_stddev) @ squares(h, cell_size)
    columns = blur(w, mask_stddev) @ squares(w, cell_size)
    left = iter(shifts)

    def gradient(mask: np.ndarray) -> np.ndarray:
        place = next(left)
        shown, hidden = (cut(x, place, jitter) for x in (image, fill))
        keep = (rows @ mask @ columns.T)[..., None]
        by_image = network.gradient(keep * shown + (1 - keep) * hidden, target)
        by_keep = (by_image * (shown - hidden)).sum(-1)
        return (
            rows.T @ by_keep @ columns - l1_weight + tv_weight * slopes(mask, tv_power)
        )

    found = adam(gradient, start, len(shifts), 0.1, lambda m: np.clip(m, 0, 1))
    return 1 - rows @ found @ columns.T


def slopes(mask: np.ndarray, power: float) -> np.ndarray:
    """Derivative of the sum over cells of the gradient's length to a power."""
    found = np.zeros_like(mask)
    last_row, last_column = mask.shape[0] - 1, mask.shape[1] - 1
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            down = mask[i + 1, j] - mask[i, j] if i < last_row else 0.0
            right = mask[i, j + 1] - mask[i, j] if j < last_column else 0.0
            length = np.hypot(down, right)
            if length == 0:
                continue
            outer = power * length ** (power - 2)
            found[i, j] -= outer * (down + right)
            if i < last_row:
                found[i + 1, j] += outer * down
            if j < last_column:
                found[i, j + 1] += outer * right
    return found


def circle(
    network: Network, image: np.ndarray, target: int, fill: np.ndarray
) -> np.ndarray:
    """One minus the smallest blurred disk that takes 99 % of what can be taken."""
    h, w, _ = image.shape
    masks = []
    for number in range(35):
        disk = np.zeros((h, w))
        for y in range(h):
            for x in range(w):
                reach = number * 170 / 34 / 224 * max(h, w)
                disk[y, x] = (y - h // 2) ** 2 + (x - w // 2) ** 2 < reach**2
        masks.append(1 - blur(h, 10) @ disk @ blur(w, 10).T)
    scores = [
        network.score(m[..., None] * image + (1 - m[..., None]) * fill, target)
        for m in masks
    ]
    whole = scores[0] - scores[-1]
    for mask, score in zip(masks, scores, strict=True):
        if score - scores[-1] < 0.01 * whole:
            return mask
    return masks[0]


def cut(image: np.ndarray, place: tuple[int, int], jitter: int) -> np.ndarray:
    """A part of the enlarged image."""
    h, w, _ = image.shape
    rows, columns = bilinear(h, h + jitter), bilinear(w, w + jitter)
    larger = np.einsum("yi,xj,ijc->yxc", rows, columns, image)
    return larger[place[0] : place[0] + h, place[1] : place[1] + w]


def squares(size: int, cell_size: int) -> np.ndarray:
    """Which cell each pixel of a line lies in."""
    cells = -(-size // cell_size)
    return np.array([[y // cell_size == i for i in range(cells)] for y in range(size)])
