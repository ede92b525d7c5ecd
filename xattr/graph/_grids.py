"""The sites of a model whose activations are maps, read as such."""

from collections.abc import Sequence

from jaxtyping import Array, Float

from xattr._types import Images, Predictor
from xattr.images import tokens_to_grid
from xattr.program import Site, arranged, record, sites, token_grid

Grid = Float[Array, "n h w d"]


def read_grids(
    model: Predictor, images: Images, names: Sequence[str]
) -> dict[str, Grid]:
    """The activations of spatial sites, from one pass, with channels last.

    Raises:
      ValueError: if a site is unknown or not spatial, or a layer is above the one that
        it must be below.
    """
    if not names:
        raise ValueError("`sites` is empty. Try `default_sites(model, images)`.")
    recorded = record(model, images, names)
    known = sites(model, images)
    places = {
        name: next(k for k, s in enumerate(known) if name in (s.name, *s.modules))
        for name in names
    }
    grids = {name: _spatial(name, known[places[name]], known) for name in names}
    for above, below in zip(names, names[1:], strict=False):
        _check_order(above, below, grids, places)
    return {
        name: _to_grid(recorded[name], known[places[name]], grids[name])
        for name in names
    }


def _spatial(name: str, site: Site, known: Sequence[Site]) -> tuple[int, int]:
    grid = grid_of(site, known)
    if grid is None:
        raise ValueError(
            f"`sites` has {name!r}, of shape {site.shape} and axes {site.axes!r} (read "
            f"from the model); a layer of a graph needs one batch, one row, one column "
            f"and one channel axis, and more than one cell, or tokens of such a grid. "
            f"Choose with `xattr.sites(model, images)`, or take "
            f"`default_sites(model, images)`."
        )
    return grid


def _check_order(
    above: str,
    below: str,
    grids: dict[str, tuple[int, int]],
    places: dict[str, int],
) -> None:
    """Refuse a map below that is coarser, or of the same size but computed later."""
    (i, j), (k, m) = grids[above], grids[below]
    if k < i or m < j or ((i, j) == (k, m) and places[below] >= places[above]):
        raise ValueError(
            f"`sites` has {below!r} ({k} x {m} cells) after {above!r} ({i} x {j}); "
            f"they go from the top layer down, and no two are the same: maps don't "
            f"grow coarser, and of two of one size that comes first which the model "
            f"computes last: `sites={[below, above]}`."
        )


def _to_grid(activation: Array, site: Site, grid: tuple[int, int]) -> Grid:
    ordered = arranged(activation, site)
    return ordered if ordered.ndim == 4 else tokens_to_grid(ordered, grid)


def grid_of(site: Site, known: Sequence[Site]) -> tuple[int, int] | None:
    """Rows and columns of a site's map, None if it has none."""
    letters = sorted(site.axes)
    grid = None
    if letters == ["c", "h", "n", "w"]:
        grid = site.shape[site.axes.index("h")], site.shape[site.axes.index("w")]
    elif letters == ["?", "c", "n"]:
        grid = token_grid(known, site.shape[site.axes.index("?")])
    return None if grid == (1, 1) else grid
