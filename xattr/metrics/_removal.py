"""Scores while pixels are exchanged in order of a map: the loop of all curves."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from xattr._chunking import evaluate_all
from xattr._scores import score_and_targets
from xattr._types import Images, Predictor, Score


def ranks(maps: Float[Array, "n h w"]) -> Int[Array, "n h w"]:
    """Place of each pixel in decreasing order of the map, from 0.

    Of equal values the first in reading order comes first.
    """
    flat = maps.reshape(maps.shape[0], -1)
    order = jnp.argsort(flat, axis=1, stable=True, descending=True)
    places = jnp.arange(flat.shape[1], dtype=jnp.int32)

    def inverse(order: Array) -> Array:
        return jnp.zeros_like(places).at[order].set(places, unique_indices=True)

    return jax.vmap(inverse)(order).reshape(maps.shape)


def only_where_ordered(
    values: Float[Array, "n *s"], maps: Float[Array, "n h w"]
) -> Float[Array, "n *s"]:
    """The values; not a number where a map holds what is none, and has no order."""
    none = jnp.isnan(maps).any((1, 2)).reshape(-1, *[1] * (values.ndim - 1))
    return jnp.where(none, jnp.nan, values)


def scores_and_targets(
    model: Predictor,
    images: Images,
    targets: PyTree,
    score: Score,
    chunk_size: int | None,
) -> tuple[Float[Array, " n"], PyTree]:
    """Score of each clean image, and what it is the score of."""

    def evaluate(rows: PyTree, _: Array) -> PyTree:
        images, targets = rows
        return score_and_targets(score, model(images), targets)

    found = evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)
    return jax.tree.map(lambda x: x[:, 0], found)


def scores_along(
    model: Predictor,
    start: Images,
    end: Images,
    ranks: Int[Array, "n h w"],
    targets: PyTree,
    *,
    counts: Sequence[int],
    score: Score,
    chunk_size: int | None,
) -> Float[Array, "n s"]:
    """Scores when the first `counts[s]` pixels of `start` are those of `end`."""
    numbers = np.asarray(counts, np.int32)

    def evaluate(rows: PyTree, index: Array) -> Float[Array, " pairs"]:
        start, end, ranks, targets = rows
        # Compared with its rank each pixel tells on its own: nothing is looked up.
        changed = ranks < jnp.asarray(numbers)[index][:, None, None]
        images = jnp.where(changed[..., None], end, start)
        return score_and_targets(score, model(images), targets)[0]

    rows = start, end, ranks, targets
    return evaluate_all(evaluate, rows, num=len(numbers), chunk_size=chunk_size)
