"""Features of an explanatory graph, all images at once and in double precision."""

import numpy as np


def unit_std(activations):
    """Sample standard deviation of each unit of `i h w d`."""
    return np.asarray(activations, np.float64).std(0, ddof=1)


def normalized(activations, std):
    """What is above zero, in units of `std`; nothing where a unit never varies."""
    found = np.asarray(activations, np.float64).copy()
    for place in np.ndindex(std.shape):
        column = found[(slice(None), *place)]
        column[:] = column / std[place] if std[place] > 0 else 0
    return np.where(found > 0, found, 0)


def step(mass):
    """Largest of each channel, in 255 steps."""
    return mass.reshape(-1, mass.shape[-1]).max(0) / 255
