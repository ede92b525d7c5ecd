"""Many evaluations in bounded memory: the one loop behind all methods.

A method evaluates its model on every pair of an image and one of `num` perturbations
of it. Pairs are taken in fixed chunks: some perturbations of the whole batch where the
batch fits, one perturbation of some images where it doesn't. Memory depends on the size
of a chunk and on nothing else. On a mesh that divides the perturbations among devices,
`num` below is the number that is left to each.
"""

import logging
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from xattr._budget import memory_budget
from xattr._checks import check_count
from xattr._division import part_of
from xattr.program import Footprint, footprint, hoist, live_bytes

_log = logging.getLogger("xattr")

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
      TypeError: if `chunk_size` is no integer.
      ValueError: if `chunk_size` is less than 1.
    """
    part = part_of(num)
    num, evaluate = part.num, part.apart(evaluate)
    block, width = _chunk_shape(evaluate, rows, num, chunk_size)
    pairs = _hoisted(evaluate, rows, num, block, width)

    def of_block(rows: PyTree) -> PyTree:
        if width == num:
            return pairs(rows, part.numbers(jnp.arange(num)))

        def step(_: None, start: Array) -> tuple[None, PyTree]:
            return None, pairs(rows, part.numbers(start + jnp.arange(width)))

        _, parts = jax.lax.scan(step, None, jnp.arange(0, num, width))
        return jax.tree.map(lambda x: _joined(jnp.moveaxis(x, 0, 1), 1, num), parts)

    return part.gathered(_by_blocks(of_block, rows, block))


def sum_all(
    evaluate: Evaluate, rows: PyTree, *, num: int, chunk_size: int | None = None
) -> PyTree:
    """Sum over the perturbations of the results of each image, `n ...`.

    Memory does not grow with `num`. Results of half precision are summed in single
    precision. Arguments and errors as for `evaluate_all`.
    """
    part = part_of(num)
    num, evaluate = part.num, part.apart(evaluate)
    block, width = _chunk_shape(evaluate, rows, num, chunk_size)
    pairs = _hoisted(evaluate, rows, num, block, width)

    def of_block(rows: PyTree) -> PyTree:
        def of_chunk(start: Array) -> PyTree:
            own = start + jnp.arange(width)
            results = pairs(rows, part.numbers(own))
            return jax.tree.map(lambda x: _masked_sum(x, part.is_there(own)), results)

        def step(sums: PyTree, start: Array) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, sums, of_chunk(start)), None

        first = jnp.zeros((), int)
        if width == num:
            return of_chunk(first)
        zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(of_chunk, first))
        return jax.lax.scan(step, zeros, jnp.arange(0, num, width))[0]

    sums = part.summed(_by_blocks(of_block, rows, block))
    shapes = jax.eval_shape(lambda rows: _pairs(evaluate, rows, jnp.arange(1)), rows)
    return jax.tree.map(lambda x, like: x.astype(like.dtype), sums, shapes)


def evaluate_sharing(
    share: Callable[[PyTree], Callable[[Int[Array, ""]], PyTree]],
    rows: PyTree,
    *,
    num: int,
    chunk_size: int | None = None,
) -> PyTree:
    """Results for every image and perturbation, `n num ...`, of work done in two parts.

    Chunks take the perturbations of one image first: what they share is done once for
    each image, and held while its chunks last.

    Args:
      share: from the row of one image, without the leading axis, to a function from
        the number of a perturbation to its result.
      rows: pytree of what belongs to each image, with a leading `n`.
      num: number of perturbations per image.
      chunk_size: pairs at a time; chosen to fit in memory when None.

    Raises:
      TypeError: if `chunk_size` is no integer.
      ValueError: if `chunk_size` is less than 1.
    """
    part = part_of(num)
    num = part.num
    n = jax.tree.leaves(rows)[0].shape[0]
    each, shared = Footprint(0, 0), 0

    def apart(row: PyTree) -> Callable[[Int[Array, ""]], PyTree]:
        return part.apart(part.apart(share)(row))

    def measure(row: PyTree) -> None:
        nonlocal each, shared
        first = jnp.zeros((), int)
        each = footprint(apart(row), first)
        shared = live_bytes(lambda row: apart(row)(first), row)

    block = n
    if chunk_size is None:
        one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), rows)
        jax.eval_shape(measure, one)
        block = max(1, min(n, memory_budget() // max(shared, 1)))
    # Where little is computed, reading the parameters is what a chunk costs.
    size = _size_for(each.live, n * num, chunk_size, least=each.constants)
    width = _even(num, min(num, size))
    block = _even(n, max(1, min(block, size // num)))
    if shared:
        _log.info("%.1f MiB are computed once for a whole loop", block * shared / 2**20)

    def of_row(row: PyTree) -> PyTree:
        evaluate = jax.vmap(apart(row))
        if width == num:
            return evaluate(part.numbers(jnp.arange(num)))
        evaluate = hoist(evaluate, _indices(width))

        def step(_: None, start: Array) -> tuple[None, PyTree]:
            return None, evaluate(part.numbers(start + jnp.arange(width)))

        _, parts = jax.lax.scan(step, None, jnp.arange(0, num, width))
        return jax.tree.map(lambda x: _joined(x, 0, num), parts)

    return part.gathered(_by_blocks(jax.vmap(of_row), rows, block))


def _chunk_shape(
    evaluate: Evaluate, rows: PyTree, num: int, chunk_size: int | None
) -> tuple[int, int]:
    """Images and perturbations of a chunk: whole batches first, evenly divided."""
    n = jax.tree.leaves(rows)[0].shape[0]
    size = _chunk_size(evaluate, rows, n * num, chunk_size)
    return _even(n, min(n, size)), _even(num, max(1, size // n))


def _chunk_size(
    evaluate: Evaluate, rows: PyTree, pairs: int, chunk_size: int | None
) -> int:
    if chunk_size is not None or pairs == 1:
        return _size_for(0, pairs, chunk_size)
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), rows)
    return _size_for(live_bytes(evaluate, one, jnp.arange(1)), pairs, chunk_size)


def _size_for(each: int, pairs: int, chunk_size: int | None, least: int = 0) -> int:
    """Pairs of a chunk, of so many bytes each; on a CPU at least so many bytes."""
    if chunk_size is not None:
        check_count("chunk_size", chunk_size)
        return min(chunk_size, pairs)
    if pairs == 1:
        return 1
    budget = memory_budget(least)
    size = max(1, min(pairs, budget // max(each, 1)))
    _log.info(
        "chunks of %d of %d evaluations: about %.1f MiB each, budget %.0f MiB",
        size,
        pairs,
        each / 2**20,
        budget / 2**20,
    )
    return size


def _even(total: int, most: int) -> int:
    """The part, not below half of the largest, that divides the total with least left.

    What is left over of the last part is computed in vain.
    """
    most = min(most, total)
    sizes = range(most, most // 2, -1)
    return min(sizes, key=lambda size: -total % size)


def _hoisted(
    evaluate: Evaluate, rows: PyTree, num: int, block: int, width: int
) -> Callable[[PyTree, Array], PyTree]:
    """Results of the pairs of a chunk, what all chunks share computed before them."""

    def pairs(rows: PyTree, index: Array) -> PyTree:
        return _pairs(evaluate, rows, index)

    n = jax.tree.leaves(rows)[0].shape[0]
    if block == n and width == num:
        return pairs
    # Types that also say how rows are spread over devices.
    some = jax.tree.map(lambda x: jax.typeof(jax.lax.slice_in_dim(x, 0, block)), rows)
    return hoist(pairs, some, _indices(width))


def _indices(width: int) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jnp.arange(width))


def _pairs(evaluate: Evaluate, rows: PyTree, index: Array) -> PyTree:
    """Results of every image of a block with some perturbations, `block width ...`.

    Rows are repeated by broadcasting, not gathered, so that images that are spread
    over devices stay where they are.
    """
    width = index.shape[0]

    def repeated(x: Array) -> Array:
        shape = (x.shape[0], width, *x.shape[1:])
        return jnp.broadcast_to(x[:, None], shape).reshape(-1, *x.shape[1:])

    block = jax.tree.leaves(rows)[0].shape[0]
    many = rows if width == 1 else jax.tree.map(repeated, rows)
    results = evaluate(many, jnp.tile(index, block))
    return jax.tree.map(lambda x: x.reshape(block, width, *x.shape[1:]), results)


def _masked_sum(results: Array, valid: Array) -> Array:
    kept = valid.reshape(1, -1, *[1] * (results.ndim - 2))
    wide = jnp.promote_types(results.dtype, jnp.float32)
    return jnp.where(kept, results, 0).sum(1, dtype=wide)


def _by_blocks(
    of_block: Callable[[PyTree], PyTree], rows: PyTree, block: int
) -> PyTree:
    """A function of some images, of all of them block by block."""
    n = jax.tree.leaves(rows)[0].shape[0]
    if block == n:
        return of_block(rows)
    blocks = -(-n // block)

    def divided(x: Array) -> Array:
        fill = jnp.broadcast_to(x[-1:], (blocks * block - n, *x.shape[1:]))
        return jnp.concatenate([x, fill]).reshape(blocks, block, *x.shape[1:])

    parts = jax.lax.map(of_block, jax.tree.map(divided, rows))
    return jax.tree.map(lambda x: _joined(x, 0, n), parts)


def _joined(x: Array, axis: int, count: int) -> Array:
    """Two axes of parts as one, without what filled the last part."""
    shape = (*x.shape[:axis], -1, *x.shape[axis + 2 :])
    return jax.lax.slice_in_dim(x.reshape(shape), 0, count, axis=axis)
