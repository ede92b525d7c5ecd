"""Many evaluations in bounded memory: the one loop behind all methods.

A method evaluates its model on every pair of an image and one of `num` perturbations
of it. Pairs are taken in fixed chunks, image by image, in a `lax.scan`, so that memory
depends on the size of a chunk and on nothing else.
"""

import logging
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from xattr.program import live_bytes

_log = logging.getLogger("xattr")

# On a CPU, chunks that outgrow the caches gain nothing; on an accelerator, large ones
# fill the device. Half of its memory is left to XLA's scratch space and to the caller.
_CPU_BYTES = 1 << 30
_ACCELERATOR_SHARE = 0.5

# Rows of each pair's image, and which of its perturbations -> that pair's result.
Evaluate = Callable[[PyTree, Int[Array, " pairs"]], PyTree]


def evaluate_all(
    evaluate: Evaluate, rows: PyTree, *, num: int = 1, chunk_size: int | None = None
) -> PyTree:
    """Results for every image and perturbation, `n num ...`.

    Args:
      evaluate: function of a chunk of rows and of perturbation indices, both with a
        leading axis of pairs. Pairs must not see each other.
      rows: pytree of what belongs to each image, with a leading `n`.
      num: number of perturbations per image.
      chunk_size: pairs at a time; chosen to fit in memory when None.

    Raises:
      ValueError: if `chunk_size` is less than 1.
    """
    n = _count(rows)
    size = _chunk_size(evaluate, rows, num, chunk_size)

    def step(_: None, start: Array) -> tuple[None, PyTree]:
        image, index, _valid = _pairs(start, size, n, num)
        return None, evaluate(_take(rows, image), index)

    if size >= n * num:
        results = evaluate(*_everything(rows, n, num))
    else:
        _, chunks = jax.lax.scan(step, None, jnp.arange(0, n * num, size))
        results = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[: n * num], chunks)
    return jax.tree.map(lambda x: x.reshape(n, num, *x.shape[1:]), results)


def sum_all(
    evaluate: Evaluate, rows: PyTree, *, num: int, chunk_size: int | None = None
) -> PyTree:
    """Sum over the perturbations of the results of each image, `n ...`.

    Memory does not grow with `num`. Arguments as for `evaluate_all`.
    """
    n = _count(rows)
    size = _chunk_size(evaluate, rows, num, chunk_size)
    if size >= n * num:
        results = evaluate(*_everything(rows, n, num))
        return jax.tree.map(lambda x: x.reshape(n, num, *x.shape[1:]).sum(1), results)

    def step(sums: PyTree, start: Array) -> tuple[PyTree, None]:
        image, index, valid = _pairs(start, size, n, num)
        results = evaluate(_take(rows, image), index)

        def add(total: Array, result: Array) -> Array:
            kept = valid.reshape(-1, *[1] * (result.ndim - 1))
            return total.at[image].add(jnp.where(kept, result, 0))

        return jax.tree.map(add, sums, results), None

    shapes = jax.eval_shape(
        evaluate, _take(rows, jnp.zeros(size, int)), jnp.zeros(size, int)
    )
    zeros = jax.tree.map(lambda x: jnp.zeros((n, *x.shape[1:]), x.dtype), shapes)
    sums, _ = jax.lax.scan(step, zeros, jnp.arange(0, n * num, size))
    return sums


def memory_budget() -> int:
    """Bytes that the intermediate results of one chunk may take."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        free = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
        return int(free * _ACCELERATOR_SHARE)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(_CPU_BYTES, total // 8)


def _chunk_size(
    evaluate: Evaluate, rows: PyTree, num: int, chunk_size: int | None
) -> int:
    pairs = _count(rows) * num
    if chunk_size is not None:
        if chunk_size < 1:
            raise ValueError(
                f"`chunk_size`={chunk_size}; it must be at least 1, or None to fit it "
                f"to the memory."
            )
        return min(chunk_size, pairs)
    if pairs == 1:
        return 1
    each = live_bytes(evaluate, _take(rows, jnp.zeros(1, int)), jnp.zeros(1, int))
    budget = memory_budget()
    size = max(1, min(pairs, budget // max(each, 1)))
    _log.info(
        "chunks of %d of %d evaluations: about %.1f MiB each, budget %.0f MiB",
        size,
        pairs,
        each / 2**20,
        budget / 2**20,
    )
    return size


def _count(rows: PyTree) -> int:
    return jax.tree.leaves(rows)[0].shape[0]


def _take(rows: PyTree, image: Array) -> PyTree:
    return jax.tree.map(lambda x: x[image], rows)


def _everything(rows: PyTree, n: int, num: int) -> tuple[PyTree, Array]:
    repeated = rows if num == 1 else _take(rows, jnp.repeat(jnp.arange(n), num))
    return repeated, jnp.tile(jnp.arange(num), n)


def _pairs(start: Array, size: int, n: int, num: int) -> tuple[Array, Array, Array]:
    """Image and perturbation of each pair of a chunk, and whether it is one at all."""
    pair = start + jnp.arange(size)
    valid = pair < n * num
    pair = jnp.where(valid, pair, 0)
    return pair // num, pair % num, valid
