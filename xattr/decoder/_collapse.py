"""Has training given up on telling one pixel from another?"""

from collections.abc import Mapping

from xattr._checks import check_positive


def collapsed(report: Mapping[str, object], *, tolerance: float = 0.05) -> str:
    """Whether masks keep everything or nothing, and what to do about it.

    Args:
      report: what a step reported: `mask_mean`, and `mask_std` within an image.
      tolerance: how near to 1 or 0 the mean is, and how even a mask is, at
        which it counts as collapsed.

    Returns:
      What happened and what helps, or nothing where masks are in order.

    Raises:
      ValueError: if `tolerance` is not positive.

    Example:
      >>> collapsed({"mask_mean": 0.4, "mask_std": 0.3})
      ''
      >>> collapsed({"mask_mean": 0.99, "mask_std": 0.01}).split(":")[0]
      'all-ones masks (mean 0.990)'

    Notes:
      The mask of a small object may have a mean below the tolerance, but is not even.
    """
    check_positive("tolerance", tolerance, 0.05)
    mean, spread = (float(report[name]) for name in ("mask_mean", "mask_std"))  # pyright: ignore[reportArgumentType]
    if spread >= tolerance:
        return ""
    if mean > 1 - tolerance:
        return (
            f"all-ones masks (mean {mean:.3f}): everything is kept. Raise the weight "
            f"of `area`, or set a target by `target_area_30`."
        )
    if mean < tolerance:
        return (
            f"all-zero masks (mean {mean:.3f}): nothing is kept. Raise `ramp`, so that "
            f"the weight of `area` rises slower, or lower that weight."
        )
    return ""
