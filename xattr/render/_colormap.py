"""Colors and transparency of attributions."""

import functools

import numpy as np
from jaxtyping import Float, UInt8

SEQUENTIAL = "inferno"
DIVERGING = "RdBu_r"
LEVELS = 256

# Magnitudes up to FAINT show the bare photograph, from FULL on the bare color.
FAINT, FULL = 0.04, 0.5


def colorize(
    values: Float[np.ndarray, "*shape"], *, signed: bool
) -> UInt8[np.ndarray, "*shape 4"]:
    """Color and opacity of values in [-1, 1].

    Signed values are blue below zero and red above, absolute ones go from violet to
    yellow with the magnitude. Opacity rises with the magnitude, so that the
    photograph shows where there is no evidence; zero is transparent.

    Args:
      values: attributions, scaled; beyond [-1, 1] they are cut.
      signed: whether the sign is shown.

    Returns:
      Red, green, blue, opacity.

    Raises:
      ValueError: if a value is not a number.

    Example:
      >>> colorize(np.array([-1.0, 0.0, 1.0]), signed=True)[:, 3]
      array([255,   0, 255], dtype=uint8)
    """
    values = np.asarray(values, np.float32)
    if np.isnan(values).any():
        raise ValueError("`values` holds NaN, which has no color.")
    table = color_table(signed)
    index = np.rint((np.clip(values, -1, 1) + 1) / 2 * (LEVELS - 1) + 1e-3)
    return table[index.astype(np.int64)]


@functools.cache
def color_table(signed: bool) -> np.ndarray:
    """Red, green, blue and opacity of `LEVELS` values from -1 to 1."""
    from matplotlib import colormaps

    values = np.linspace(-1, 1, LEVELS)
    sizes = np.abs(values)
    if signed:
        # The map's ends are nearly black, its middle is white.
        colors = colormaps[DIVERGING](0.5 + 0.38 * np.sign(values) * sizes**0.7)
    else:
        colors = colormaps[SEQUENTIAL](0.25 + 0.73 * sizes)
    ramp = np.clip((sizes - FAINT) / (FULL - FAINT), 0, 1)
    colors[:, 3] = ramp * ramp * (3 - 2 * ramp)
    return np.rint(colors * 255).astype(np.uint8)


def color_bar(*, signed: bool, stops: int = 13) -> str:
    """The colors as a CSS gradient, for a legend.

    Example:
      >>> color_bar(signed=True, stops=3).startswith("linear-gradient(90deg, rgba(")
      True
    """
    values = np.linspace(-1 if signed else 0, 1, stops)
    colors = colorize(values, signed=signed)
    parts = ", ".join(f"rgba({r}, {g}, {b}, {a / 255:.2f})" for r, g, b, a in colors)
    return f"linear-gradient(90deg, {parts})"
