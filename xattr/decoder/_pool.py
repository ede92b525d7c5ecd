"""Past states of a classifier, so that masks don't fit its latest state alone."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from xattr._types import Keys
from xattr.decoder._state import Pool


def empty(latest: PyTree, *, size: int) -> Pool:
    """A pool with nothing in it.

    Args:
      latest: parameters and statistics of the classifier; for their shapes.
      size: how many are kept at most. It takes `size` times the memory of `latest`.

    Returns:
      The pool.
    """
    members = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[None], (size, *leaf.shape)), latest
    )
    return Pool(members, jnp.zeros((), jnp.int32))


def push(pool: Pool, latest: PyTree, *, due: Bool[Array, ""]) -> Pool:
    """Puts the latest state in, over the oldest where the pool is full.

    Args:
      pool: the pool.
      latest: parameters and statistics of the classifier.
      due: whether to; if not, the pool stays as it was.

    Returns:
      The pool after that.

    Example:
      >>> pool = empty(jnp.array(0.0), size=2)
      >>> for value in (1.0, 2.0, 3.0):
      ...     pool = push(pool, jnp.array(value), due=jnp.array(True))
      >>> pool.members.tolist()
      [3.0, 2.0]
    """
    size = len(jax.tree.leaves(pool.members)[0])
    slot = pool.pushed % size

    def put(members: Array, leaf: Array) -> Array:
        return members.at[slot].set(jnp.where(due, leaf, members[slot]))

    members = jax.tree.map(put, pool.members, latest)
    return Pool(members, pool.pushed + due)


def draw(pool: Pool, latest: PyTree, key: Keys, *, probability: float) -> PyTree:
    """A past state, each as likely as the other, or the latest.

    Args:
      pool: the pool.
      latest: parameters and statistics of the classifier.
      key: what is drawn with.
      probability: how often it is a past one. Of an empty pool, never.

    Returns:
      Parameters and statistics of the one drawn.

    References:
      [zolna2020classifier].
    """
    size = len(jax.tree.leaves(pool.members)[0])
    whether, which = jax.random.split(key)
    held = jnp.minimum(pool.pushed, size)
    past = (held > 0) & jax.random.bernoulli(whether, probability)
    index = jax.random.randint(which, (), 0, jnp.maximum(held, 1))
    return jax.tree.map(
        lambda members, leaf: jnp.where(past, members[index], leaf),
        pool.members,
        latest,
    )
