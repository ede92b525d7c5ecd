"""Photographs and their maps side by side, for notebooks and papers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from xattr.images import STATUSES
from xattr.render._display import drawable
from xattr.render._names import plain_name
from xattr.render._overlay import as_uint8, blend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Maps = Inexact[Array, "n i j *c"] | Inexact[np.ndarray, "n i j *c"]


def figure(
    images: Float[Array, "n h w 3"] | np.ndarray,
    maps: Maps | Mapping[str, Maps],
    *,
    titles: Sequence[str] | None = None,
    signed: bool = True,
    alpha: float = 0.85,
    gray: bool = True,
    size: float = 2.2,
) -> "Figure":
    """A row for each photograph: the photograph, then each method's overlay.

    The figure belongs to nobody's global state, so that nothing has to be closed;
    in a notebook it shows as the last value of a cell, or by `display`, and
    `savefig` writes it.

    Args:
      images: photographs, 0 to 255 or 0 to 1.
      maps: maps of one method, or by method's name.
      titles: a text for each photograph, such as its class.
      signed: as in `overlay`.
      alpha: as in `overlay`.
      gray: as in `overlay`.
      size: side of one picture, in inches.

    Returns:
      The figure. A map that is all zero or not finite is not drawn: the photograph
      stands alone, with a note.

    Raises:
      TypeError: as `overlay`.
      ValueError: as `overlay`, or if the numbers of photographs, maps and titles
        differ.

    Example:
      >>> photo = np.zeros((1, 8, 8, 3), np.uint8)
      >>> chart = figure(photo, {"grad_cam": np.ones((1, 2, 2))}, titles=["cat"])
      >>> [axis.get_title() for axis in chart.axes]
      ['cat', 'Grad-CAM']
    """
    from matplotlib.figure import Figure

    methods = dict(maps) if isinstance(maps, Mapping) else {"": maps}
    photos = [as_uint8(image) for image in np.asarray(images)]
    _check_counts(len(photos), methods, titles)
    rows, columns = len(photos), 1 + len(methods)
    chart = Figure(figsize=(size * columns, size * rows), layout="constrained", dpi=120)
    axes = chart.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, photo in enumerate(photos):
        axes[row, 0].imshow(photo)
        if titles is not None:
            axes[row, 0].set_title(titles[row], fontsize=9)
    for column, (name, stack) in enumerate(methods.items(), 1):
        values, states = drawable(jnp.asarray(stack), photos[0].shape[:2])
        axes[0, column].set_title(plain_name(name), fontsize=9)
        for row, photo in enumerate(photos):
            picture = blend(
                photo, np.asarray(values[row]), alpha=alpha, signed=signed, gray=gray
            )
            axes[row, column].imshow(picture)
            if state := int(states[row]):
                _note(axes[row, column], STATUSES[state])
    return chart


def _check_counts(
    count: int, methods: Mapping[str, Maps], titles: Sequence[str] | None
) -> None:
    """Raise unless there is one of each for every photograph."""
    if not count:
        raise ValueError("`images` is empty; at least one photograph is needed.")
    for name, stack in methods.items():
        if len(stack) != count:
            which = f"`maps`[{name!r}]" if name else "`maps`"
            raise ValueError(
                f"{which} has {len(stack)} maps for {count} photographs; one each is "
                "needed."
            )
    if titles is not None and len(titles) != count:
        raise ValueError(
            f"`titles` has {len(titles)} texts for {count} photographs; one each is "
            "needed."
        )


def _note(axis, text: str) -> None:
    """Say on the picture why there is no map."""
    box = {"boxstyle": "round", "facecolor": "white", "alpha": 0.85, "linewidth": 0}
    axis.text(
        *(0.5, 0.5, text),
        transform=axis.transAxes,
        ha="center",
        va="center",
        fontsize=8,
        bbox=box,
    )
