"""The mean of the classes' means."""

import numpy as np
from jaxtyping import Float, Int


def mean_over_classes(
    values: Float[np.ndarray, " n"], classes: Int[np.ndarray, " n"]
) -> float:
    """Mean over classes of the mean of each, so that rare ones count as much.

    Args:
      values: a number per image, such as hits of the pointing game; images without a
        number are left out.
      classes: the class of each.

    Returns:
      A number in the units of the values; a class without images is not counted.

    Raises:
      ValueError: if there is not one class per value.

    Example:
      >>> mean_over_classes(np.array([1.0, 1.0, 1.0, 0.0]), np.array([4, 4, 4, 7]))
      0.5

    References:
      [zhang2016excitation].

    Notes:
      TorchRay counts a class without images as one where all miss.
    """
    values, classes = np.asarray(values, np.float64), np.asarray(classes)
    if values.ndim != 1 or values.shape != classes.shape:
        raise ValueError(
            f"`values` has shape {values.shape} and `classes` {classes.shape}; there "
            f"must be one class per value."
        )
    there = ~np.isnan(values)
    values, classes = values[there], classes[there]
    means = [values[classes == k].mean() for k in np.unique(classes)]
    return float(np.mean(means)) if means else float("nan")
