"""XRAI's choice of regions, pixel by pixel."""

import numpy as np


def _gain(region: np.ndarray, covered: np.ndarray, attribution: np.ndarray):
    """Mean over the pixels that a region adds, and these."""
    new = [p for p in np.ndindex(region.shape) if region[p] and not covered[p]]
    return float(np.mean([attribution[p] for p in new])) if new else -np.inf, new


def xrai(
    attribution: np.ndarray, segments: np.ndarray, *, min_new_pixels: int, fast: bool
) -> np.ndarray:
    result = np.full(attribution.shape, np.nan)
    covered = np.zeros(attribution.shape, bool)
    remaining = [segment for segment in segments]
    if fast:
        remaining.sort(key=lambda s: -_gain(s, covered, attribution)[0])
    while remaining:
        large = [
            s
            for s in remaining
            if len(_gain(s, covered, attribution)[1]) >= min_new_pixels
        ]
        if not large:
            break
        gains = [_gain(s, covered, attribution)[0] for s in large]
        best = large[0] if fast else large[gains.index(max(gains))]
        gain, new = _gain(best, covered, attribution)
        for pixel in new:
            result[pixel], covered[pixel] = gain, True
        remaining = [s for s in large if s is not best]
    result[~covered] = attribution[~covered].mean() if not covered.all() else 0
    return result
