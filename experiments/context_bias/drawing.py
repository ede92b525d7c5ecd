"""Maps of a biased attribute and of an unbiased one, on noise."""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array
from matplotlib.patches import Rectangle
from pictures import ATTRIBUTES, CUE, regions

NAMES = ("integrated gradients", "LRP", "HiResCAM", "occlusion")


def draw(
    case,
    explain: Callable[[str, Array, Array], Array],
    drawn: tuple[Array, Array],
    folder: Path,
) -> None:
    """Write `maps.png`: a picture of both marks and the cue, explained twice."""
    images, truth = drawn
    other = (case.biased + 1) % ATTRIBUTES
    shows = truth[:, case.biased] * truth[:, other] * truth[:, CUE]
    image = images[int(jnp.argmax(shows))][None]
    figure, axes = plt.subplots(2, 1 + len(NAMES), figsize=(8.6, 3.9))
    rows = {"biased": case.biased, "unbiased": other}
    for row, (title, attribute) in zip(axes, rows.items(), strict=True):
        row[0].imshow(np.clip(image[0] + 0.5, 0, 1))
        row[0].set_title(f"{title} attribute", fontsize=9)
        for axis, name in zip(row[1:], NAMES, strict=True):
            found = np.asarray(explain(name, image, jnp.array([attribute]))[0])
            top = np.abs(found).max()
            axis.imshow(found, cmap="RdBu_r", vmin=-top, vmax=top)
            axis.set_title(name, fontsize=9)
        for axis in row:
            _outline(axis, case.places[attribute], "limegreen")
            _outline(axis, case.places[CUE], "black")
            axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(folder / "maps.png", dpi=70)
    plt.close(figure)


def _outline(axis, cell: Array, color: str) -> None:
    rows, columns = np.nonzero(regions()[int(cell)])
    corner = columns.min() - 0.5, rows.min() - 0.5
    side = columns.max() - columns.min() + 1
    axis.add_patch(
        Rectangle(corner, side, side, fill=False, edgecolor=color, linewidth=1.5)
    )
