"""Activations of images that come in batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Inexact

from xattr._types import Images, Predictor
from xattr.graph._grids import Grid, read_grids

Batches = Iterable[Images | Inexact[np.ndarray, "n ..."]]


def listed(sites: str | Sequence[str]) -> tuple[str, ...]:
    """Names of sites, of which one stands for a list of one."""
    return (sites,) if isinstance(sites, str) else tuple(sites)


def filled_up(batches: Batches) -> Iterator[tuple[Images, int]]:
    """Batches of one size, and how many images of each count: so one program does."""
    size, shape = 0, None
    for batch in batches:
        images = jnp.asarray(batch)
        shape = shape or images.shape[1:]
        if images.shape[1:] != shape:
            raise ValueError(
                f"`batches` has images of shape {images.shape[1:]} after those of "
                f"{shape}; all must have one shape: `xattr.images.resize(...)`."
            )
        count = len(images)
        size = max(size, count)
        if 0 < count < size:
            rest = jnp.repeat(images[-1:], size - count, axis=0)
            images = jnp.concatenate([images, rest])
        yield images, count


def activations(
    model: Predictor, images: Images, names: Sequence[str]
) -> tuple[dict[str, Grid], dict[str, Bool[Array, ""]]]:
    """At least in single precision; and whether all are finite."""
    grids = {
        name: grid.astype(jnp.promote_types(grid.dtype, jnp.float32))
        for name, grid in read_grids(model, images, names).items()
    }
    return grids, {name: jnp.isfinite(grid).all() for name, grid in grids.items()}


def check_finite(finite: Mapping[str, Array], start: int, count: int) -> None:
    """Refuse what is not finite in a batch that begins with image number `start`."""
    for name, whole in finite.items():
        if not whole:
            raise ValueError(
                f"`site`={name!r} is not finite in one of the images {start} to "
                f"{start + count - 1}. See which with `xattr.record(model, images, "
                f"{name!r})`; images must be finite, in the units that the model takes."
            )
