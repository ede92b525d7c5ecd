"""Where the rows, columns and channels of a site are, be it an image or tokens."""

import re
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr._types import Images, Predictor
from xattr.images import tokens_to_grid
from xattr.program import Site, sites, token_grid

Grid = Float[Array, "n i j d"]

# The axis of tokens may say how many rows and columns of patches it has.
_TOKENS = re.compile(r"\((\d+) (\d+)\)")


class Layout(NamedTuple):
    """How a site becomes a grid.

    Attributes:
      axes: a letter per axis, a permutation of `nhwc`, or of `ntc` for tokens.
      grid: rows and columns of the patches that tokens stand for.
    """

    axes: str
    grid: tuple[int, int] | None = None

    @property
    def channels(self) -> int:
        """Number of the axis of channels."""
        return self.axes.index("c")

    @property
    def positions(self) -> str:
        """The axes, with those of positions named as if they were of an image."""
        return self.axes.replace("t", "h")

    def to_grid(self, array: Array) -> Grid:
        """An activation with its axes in the order batch, rows, columns, channels."""
        order = "nhwc" if self.grid is None else "ntc"
        ordered = jnp.transpose(array, [self.axes.index(letter) for letter in order])
        return ordered if self.grid is None else tokens_to_grid(ordered, self.grid)


def site_layout(
    model: Predictor, images: Images, found: Site, site: str, axes: str | None
) -> Layout:
    """Layout of a site, as given or as read; an error where neither says."""
    letters = _read(found.axes) if axes is None else _TOKENS.sub("t", axes)
    if len(letters) == len(found.shape):
        if sorted(letters) == ["c", "h", "n", "w"]:
            return Layout(letters)
        if sorted(letters) == ["c", "n", "t"]:
            return Layout(letters, _grid(model, images, found, site, axes, letters))
    origin = "read from the model" if axes is None else "given"
    raise ValueError(
        f"`site`={site!r} has shape {found.shape} and axes {axes or found.axes!r} "
        f"({origin}); a class activation map needs one batch, one row, one column and "
        f"one channel axis, or one of tokens in the place of row and column. Choose a "
        f"site with `xattr.sites(model, images)`, or say which axis is which with "
        f"`axes=`, for example `axes='nhwc'`, `axes='nchw'` or `axes='ntc'`."
    )


def _read(axes: str) -> str:
    """Axes as read; between images and channels, the one other axis is of tokens."""
    return axes.replace("?", "t") if sorted(axes) == ["?", "c", "n"] else axes


def _grid(
    model: Predictor,
    images: Images,
    found: Site,
    site: str,
    axes: str | None,
    letters: str,
) -> tuple[int, int]:
    """Rows and columns of the patches, as given or as read."""
    given = _TOKENS.search(axes or "")
    num_tokens = found.shape[letters.index("t")]
    if given is not None:
        grid = int(given[1]), int(given[2])
        if 0 < grid[0] * grid[1] <= num_tokens:
            return grid
        origin = f"are fewer than the {grid[0]} x {grid[1]} patches of `axes`={axes!r}"
    else:
        grid = token_grid(sites(model, images), num_tokens)
        if grid is not None:
            return grid
        origin = "are of no grid of patches that could be read from the model"
    side = max(int(num_tokens**0.5), 1)
    example = letters.replace("t", f"({side} {side})")
    raise ValueError(
        f"`site`={site!r} has shape {found.shape}, whose {num_tokens} tokens {origin}. "
        f"Say how many rows and columns of patches there are, any other tokens coming "
        f"first: `axes={example!r}`."
    )
