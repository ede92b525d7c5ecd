"""Performance information curves of one image, point by point, from their paper."""

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from scipy.interpolate import griddata


def bytes_of(image: np.ndarray) -> int:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="webp", lossless=True, quality=100)
    return len(file.getvalue())


def blurred(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Each channel alone, linear between the known pixels and the corners."""
    known = known.copy()
    known[0, 0] = known[0, -1] = known[-1, 0] = known[-1, -1] = True
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    channels = [
        griddata(
            np.argwhere(known),
            image[..., c][known].astype(float),
            (rows, columns),
            fill_value=image[..., c].mean(),
        )
        for c in range(image.shape[2])
    ]
    found = np.round(np.stack(channels, -1).astype(np.float32)).astype(np.uint8)
    return np.where(known[..., None], image, found)


def points(
    score: Callable[[np.ndarray], float],
    image: np.ndarray,
    values: np.ndarray,
    start: np.ndarray,
    fractions: Sequence[float],
) -> list[tuple[float, float]]:
    """Normalized bytes and scores at (0, 0), each fraction and (1, 1), ascending."""
    empty = blurred(image, start)
    low, high = score(empty), score(image)
    small, large = bytes_of(empty), bytes_of(image)
    found, best = [(0.0, 0.0)], 0.0
    for fraction in fractions:
        shown = start | (values >= np.quantile(values, 1 - fraction))
        picture = blurred(image, shown)
        best = max(best, (score(picture) - low) / (high - low))
        place = (bytes_of(picture) - small) / (large - small)
        found.append((min(max(place, 0), 1), min(best, 1)))
    return [*found, (1.0, 1.0)]


def area(curve: list[tuple[float, float]]) -> float:
    """By trapezoids between points that are in order already."""
    return sum(
        (b[0] - a[0]) * (a[1] + b[1]) / 2
        for a, b in zip(curve, curve[1:], strict=False)
    )
