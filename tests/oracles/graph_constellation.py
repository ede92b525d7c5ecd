"""The error of a part constellation, and its best views and parts, by counting."""

import itertools

import numpy as np


def error(positions, anchors, offsets, views, visible):
    """Mean squared distance of what is visible from where the model says."""
    total, count = 0.0, 0
    for i, p in np.argwhere(visible):
        apart = positions[i, p] - anchors[i] - offsets[views[i], p]
        total += apart @ apart
        count += 1
    return total / count


def best_view(places, anchor, offsets, parts, num_visible):
    """The view and the visible parts of one image with the smallest error."""
    best = np.inf, None, None
    for view in range(len(parts)):
        for chosen in itertools.combinations(np.flatnonzero(parts[view]), num_visible):
            total = 0.0
            for p in chosen:
                apart = places[p] - anchor - offsets[view, p]
                total += apart @ apart
            if total < best[0]:
                best = total, view, set(chosen)
    return best[1:]


def proposal(slope, stddev):
    """Argmax of a slope (h, w, c) after a Gaussian, as shares of the image."""
    heat = np.abs(slope).sum(-1)
    h, w = heat.shape
    smooth = np.zeros((h, w))
    for i, j, k, m in np.ndindex(h, w, h, w):
        square = (i - k) ** 2 + (j - m) ** 2
        smooth[i, j] += heat[k, m] * np.exp(-square / (2 * stddev**2))
    row, column = np.unravel_index(smooth.argmax(), smooth.shape)
    return np.array([(row + 0.5) / h, (column + 0.5) / w])
