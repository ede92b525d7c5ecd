"""Linear algebra of a batch, without the wait of one call for another."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array


def one_by_one(function: Callable[..., Any], *arrays: Array) -> Any:
    """A function of a batch of matrices; on a CPU of one after the other.

    There a batched call of LAPACK divides its work among the threads of the pool that
    it runs on itself, and waits for them: two calls at once, on two cores, wait for
    each other forever. A call for one matrix waits for none. A batch that is spread
    over an explicit axis of a mesh stays whole, since no loop can go through it.
    """
    if any(map(_is_spread, arrays)):
        return function(*arrays)

    def each(*arrays: Array) -> Any:
        return jax.lax.map(lambda row: function(*row), arrays)

    return jax.lax.platform_dependent(*arrays, cpu=each, default=function)


def _is_spread(array: Array) -> bool:
    """Whether the batch's axis is divided over an axis of a mesh that types tell."""
    spec = jax.typeof(array).sharding.spec
    return len(spec) > 0 and spec[0] is not None
