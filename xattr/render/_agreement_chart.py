"""How much the methods agree, pair by pair."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from xattr.render._curve_charts import label
from xattr.render._seriation import seriation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRINTED = 15


def agreement_chart(
    names: Sequence[str],
    matrix: Float[np.ndarray, "m m"],
    *,
    measure: str = "Rank correlation",
) -> "Figure":
    """Heat map of the agreement between methods, similar ones beside each other.

    Args:
      names: methods, in the matrix's order.
      matrix: agreement of each with each, -1 to 1; not a number where there is none.
      measure: what the numbers are, for the color bar.

    Returns:
      The figure; rows and columns are in the order of `seriation`, and numbers are
      printed for up to 15 methods.

    Raises:
      ValueError: if the matrix is not square, not of the names' number, or exceeds
        [-1, 1].

    Example:
      >>> chart = agreement_chart(["rise", "lime"], np.array([[1, 0.3], [0.3, 1]]))
      >>> [tick.get_text() for tick in chart.axes[0].get_yticklabels()]
      ['RISE', 'LIME']
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    matrix = np.asarray(matrix, float)
    count = len(names)
    if matrix.shape != (count, count):
        raise ValueError(
            f"`matrix` has shape {matrix.shape} for {count} `names`; a row and a "
            f"column for each are needed: ({count}, {count})."
        )
    if count and not np.nanmax(np.abs(matrix), initial=0) <= 1 + 1e-6:
        raise ValueError(
            f"`matrix` has magnitudes up to {np.nanmax(np.abs(matrix)):g}; agreement "
            "is in [-1, 1]."
        )
    order = seriation(matrix)
    sorted_matrix = matrix[np.ix_(order, order)]
    cell = 0.55 if count <= PRINTED else 0.21
    side = cell * max(count, 3)
    chart = Figure(figsize=(side + 3.2, side + 2), layout="constrained", dpi=120)
    axis = chart.subplots()
    colors = colormaps["RdBu_r"].with_extremes(bad="#d9d9d9")
    # The map's ends are nearly black: ±1 is drawn a step inside of them.
    picture = axis.imshow(sorted_matrix, cmap=colors, vmin=-1.15, vmax=1.15)
    texts = [label(names[index]) for index in order]
    font = 9 if count <= PRINTED else 7
    axis.set_xticks(
        range(count), texts, rotation=45, ha="right", rotation_mode="anchor"
    )
    axis.set_yticks(range(count), texts)
    axis.tick_params(length=0, labelsize=font)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1 if count <= PRINTED else 0.5)
    axis.tick_params(which="minor", length=0)
    if count <= PRINTED:
        _print_values(axis, sorted_matrix)
    bar = chart.colorbar(picture, ax=axis, shrink=0.6, aspect=24, pad=0.02)
    bar.ax.set_ylim(-1, 1)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1])
    bar.set_label(measure)
    bar.outline.set_visible(False)
    return chart


def _print_values(axis, matrix: np.ndarray) -> None:
    """Write each number on its cell."""
    for (row, column), value in np.ndenumerate(matrix):
        axis.text(
            *(column, row, f"{value:.2f}" if np.isfinite(value) else "none"),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if abs(value) > 0.75 else "#1d1c1a",
        )
