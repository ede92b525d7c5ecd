"""Whole numbers: how many samples, steps and pixels."""

from typing import Any

import numpy as np


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is no whole number, or too small a one."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"`{name}`={value!r} is a {type(value).__name__}; it must be a whole "
            f"number: `{name}={max(least, 4)}`."
        )
    if value < least:
        raise ValueError(f"`{name}`={value}; it must be at least {least}.")
