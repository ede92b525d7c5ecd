"""What both readings of attention share: which layers, and whom the answer reads."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr._types import Images, Predictor
from xattr.images import tokens_to_grid
from xattr.program import Attention, attentions, sites, token_grid

Heads = Float[Array, "n a t t"]
Mixing = Float[Array, "n t t"]
Map = Float[Array, "n i j"]


class Layers(NamedTuple):
    """The attention of a model, first layer first.

    Attributes:
      found: the attention of each layer, by the name that was asked for.
      grid: rows and columns of the patches.
    """

    found: dict[str, Attention]
    grid: tuple[int, int]

    def map_of(self, mixings: Sequence[Mixing]) -> Map:
        """How much the answer takes from each patch, through the layers' mixings.

        The row of the token that is read is carried down, so that no two matrices are
        multiplied: of the class token, or the mean of the rows where all are patches.
        """
        t = mixings[0].shape[-1]
        readers = jnp.arange(t) == 0 if t > self.grid[0] * self.grid[1] else jnp.ones(t)
        row = (readers / readers.sum()).astype(mixings[0].dtype)
        rows = jnp.broadcast_to(row, mixings[0].shape[:2])
        for mixing in reversed(mixings):
            rows = jnp.einsum("nt,ntk->nk", rows, mixing)
        return tokens_to_grid(rows[..., None], self.grid)[..., 0]


def layers_of(
    model: Predictor,
    images: Images,
    names: Sequence[str] | None,
    grid: tuple[int, int] | None,
    start_layer: int,
) -> Layers:
    """The layers that were asked for, all by default; an error where there are none."""
    found = _chosen(attentions(model, images), names)
    counts = {attention.num_tokens for attention in found.values()}
    if len(counts) > 1:
        shapes = {name: attention.site.shape for name, attention in found.items()}
        raise ValueError(
            f"`sites` have attention over {sorted(counts)} tokens: {shapes}. Choose "
            f"those of one number of tokens: `sites={list(found)[-1:]}`."
        )
    if not -len(found) <= start_layer < len(found):
        raise ValueError(
            f"`start_layer`={start_layer}, but there are {len(found)} layers of "
            f"attention: it must be from {-len(found)} to {len(found) - 1}, such as "
            f"`start_layer=0` for all."
        )
    start = start_layer % len(found)
    kept = dict(list(found.items())[start:])
    return Layers(kept, _grid(model, images, counts.pop(), grid))


def _chosen(
    found: list[Attention], names: Sequence[str] | None
) -> dict[str, Attention]:
    """All attention, or that of the given sites, under the names that were given."""
    every = {attention.site.name: attention for attention in found}
    if not every:
        raise ValueError(
            "`model` has no self-attention that could be read: no softmax over tokens "
            "for each token. What a loop over blocks or a fused kernel computes is one "
            "operation: write the blocks one after the other, and their attention as "
            "`jax.nn.softmax(scores) @ values`. For models without attention use "
            "`xattr.grad_cam(model, images, site=...)`."
        )
    if names is None:
        return every
    aliases = {alias: a for a in found for alias in (a.site.name, *a.site.modules)}
    unknown = [name for name in names if name not in aliases]
    if isinstance(names, str) or unknown or not names:
        raise ValueError(
            f"`sites`={names!r} must be names of softmaxes over tokens, of which this "
            f"model has {list(every)}: `sites={list(every)[-1:]}`."
        )
    return {name: aliases[name] for name in names}


def _grid(
    model: Predictor, images: Images, num_tokens: int, grid: tuple[int, int] | None
) -> tuple[int, int]:
    """Rows and columns of the patches, as given or as read."""
    if grid is None:
        grid = token_grid(sites(model, images), num_tokens)
    if grid is None or not 0 < grid[0] * grid[1] <= num_tokens:
        side = max(int(num_tokens**0.5), 1)
        raise ValueError(
            f"`grid`={grid}: the {num_tokens} tokens of this model are of no such grid "
            f"of patches, or none that could be read. Say how many rows and columns "
            f"there are, any other tokens coming first: `grid=({side}, {side})`."
        )
    return grid
