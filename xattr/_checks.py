"""What several methods demand of their arguments."""

from typing import Any

import jax
import numpy as np

from xattr._types import Images


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is no whole number, or too small a one."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"`{name}`={value!r} is a {type(value).__name__}; it must be a whole "
            f"number: `{name}={max(least, 4)}`."
        )
    if value < least:
        raise ValueError(f"`{name}`={value}; it must be at least {least}.")


def check_positive(name: str, value: float, example: float) -> None:
    """Refuse zero, less, and what is no number; arrays are data, not looked at."""
    if not isinstance(value, jax.Array) and not value > 0:
        raise ValueError(f"`{name}`={value}; it must be positive: `{name}={example}`.")


def check_not_negative(name: str, value: float, example: float) -> None:
    """Refuse what is below zero, or no number; arrays are data, not looked at."""
    if not isinstance(value, jax.Array) and not value >= 0:
        raise ValueError(
            f"`{name}`={value}; it must be at least 0: `{name}={example}`."
        )


def check_pictures(images: Images) -> None:
    """Refuse what has not just height and width, which masks are made for."""
    if images.ndim != 4:
        raise ValueError(
            f"`images` has shape {images.shape}; masks need images `n h w c`. For one "
            f"image use `images[None]`; for channels first, let the model transpose: "
            f"`lambda x: model(x.transpose(0, 3, 1, 2))`."
        )
