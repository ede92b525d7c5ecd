"""The perturbations of each image, divided among devices.

Inside `jax.shard_map` over a mesh with an axis `perturbation`, each device along it
takes its part of a loop's perturbations, of the same images.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

AXIS = "perturbation"

# A loop inside of a divided one has its perturbations to itself. JAX compiles again
# where this differs, and where the mesh does.
_IS_DIVIDED = jax.make_user_context(default_value=False)


class Part(NamedTuple):
    """The perturbations that this device evaluates.

    Attributes:
      num: how many, the last devices' beyond the last perturbation included.
      total: those of all devices.
      first: number of the first one; None where one device has them all.
    """

    num: int
    total: int
    first: Int[Array, ""] | None

    def numbers(self, own: Int[Array, " w"]) -> Int[Array, " w"]:
        """Which perturbations they are; beyond the last, the last one again."""
        return jnp.minimum(self._unclipped(own), self.total - 1)

    def is_there(self, own: Int[Array, " w"]) -> Bool[Array, " w"]:
        """Whether they are part of this device's, and exist."""
        there = own < self.num
        return (
            there if self.first is None else there & (self._unclipped(own) < self.total)
        )

    def _unclipped(self, own: Int[Array, " w"]) -> Int[Array, " w"]:
        return own if self.first is None else self.first + own

    def apart(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose own loops are not divided once more."""
        if self.first is None:
            return function

        def inner(*arguments: Any) -> Any:
            with _IS_DIVIDED(True):
                return function(*arguments)

        return inner

    def gathered(self, results: PyTree) -> PyTree:
        """From results `n num ...` of each device, those of all perturbations."""
        if self.first is None:
            return results

        def of_all(x: Array) -> Array:
            every = jax.lax.all_gather(x, AXIS, axis=1, tiled=True)
            return jax.lax.slice_in_dim(every, 0, self.total, axis=1)

        return jax.tree.map(of_all, results)

    def summed(self, sums: PyTree) -> PyTree:
        """From the sums of each device, those over all perturbations."""
        return sums if self.first is None else jax.lax.psum(sums, AXIS)


def part_of(num: int) -> Part:
    """This device's part of so many perturbations: all, unless a mesh divides them."""
    mesh = jax.sharding.get_abstract_mesh()
    divides = AXIS in mesh.manual_axes and not _IS_DIVIDED.value
    devices = mesh.shape[AXIS] if divides else 1
    if num == 1 or devices == 1:
        return Part(num, num, None)
    each = -(-num // devices)
    return Part(each, num, jax.lax.axis_index(AXIS).astype(int) * each)
