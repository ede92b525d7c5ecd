"""Patches around nodes, one pixel at a time."""

import math

import numpy as np


def patch(image, position, *, size, least=0.25):
    """The square around a position (shares), smaller near the border, enlarged."""
    height, width = image.shape[:2]
    half = size * min(height, width) / 2
    row, column = position[0] * height, position[1] * width
    room = min(row, column, height - row, width - column)
    mine = min(half, max(room, least * half))
    row = min(max(row, mine), height - mine)
    column = min(max(column, mine), width - mine)
    side = round(2 * half)
    out = np.empty((side, side, 3))
    for a in range(side):
        for b in range(side):
            y = row - mine + (a + 0.5) * 2 * mine / side
            x = column - mine + (b + 0.5) * 2 * mine / side
            out[a, b] = bilinear(image, y - 0.5, x - 0.5)
    return out


def bilinear(image, y, x):
    height, width = image.shape[:2]
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    total = np.zeros(3)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            weight = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
            if weight:
                total += weight * image[row, column].astype(float)
    return total


def heat(positions, scores, *, size, stddev):
    """A Gaussian at every position (in pixels), weighted by its score."""
    out = np.zeros((len(scores), *size))
    for image, node in np.ndindex(scores.shape):
        for y, x in np.ndindex(size):
            row, column = positions[image, node]
            square = (y - row) ** 2 + (x - column) ** 2
            weight = math.exp(-square / (2 * stddev**2))
            out[image, y, x] += scores[image, node] * weight
    return out
