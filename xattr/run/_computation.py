"""A plan as compiled programs over a mesh of devices."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from xattr.run import _tile as tile
from xattr.run._compiler import chunk_bytes, compiler_options, compiling
from xattr.run._layout import Layout
from xattr.run._plan import Plan
from xattr.run._precision import in_dtype
from xattr.run._tile import Results


class Computation:
    """Programs that compute a plan, each device one tile of records at a time.

    A device runs the same program on the same tile wherever it stands in the mesh, so
    that the number of devices along `data` changes no bit.

    Args:
      plan: what to compute.
      devices: what to compute with.
      num_perturbation: how many devices share one tile, each a part of the
        perturbations of a method.

    Raises:
      ValueError: if the devices cannot be shared so.
    """

    def __init__(
        self,
        plan: Plan,
        devices: Sequence[Any] | None = None,
        num_perturbation: int = 1,
    ) -> None:
        devices = list(devices or jax.local_devices())
        if num_perturbation < 1 or len(devices) % num_perturbation:
            raise ValueError(
                f"`num_perturbation`={num_perturbation} must divide the "
                f"{len(devices)} devices of this process."
            )
        grid = np.array(devices).reshape(-1, num_perturbation)
        self.plan, self.num_tiles = plan, len(grid)
        self.device, self.num_perturbation = devices[0], num_perturbation
        self._memory = plan.chunk_memory or chunk_bytes(devices[0])
        self._mesh = Mesh(grid, ("data", "perturbation"))
        self._sharding = NamedSharding(self._mesh, P("data"))
        model = in_dtype(plan.pretrained.model, plan.compute_dtype)
        self._model = jax.device_put(model, NamedSharding(self._mesh, P()))
        self._predict = self._spread(partial(tile.predict, plan.target), 3)
        self._compute = self._spread(partial(tile.compute, plan), 4)
        programs = {name: partial(tile.explain, plan, name) for name in plan.methods}
        self._methods = {name: self._spread(f, 5) for name, f in programs.items()}
        self._shapes: dict[str, Results] = {}
        options = compiler_options(devices[0].platform)
        self._alone = {
            name: jax.jit(f, compiler_options=options) for name, f in programs.items()
        }

    def put(self, arrays: Sequence[np.ndarray]) -> Array:
        """One array of all tiles, each tile on its device."""
        joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        return jax.device_put(joined, self._sharding)

    def prepare(self, name: str, pixels: np.ndarray) -> Results:
        """What a method needs that is computed from images outside of a program."""
        prepare = self.plan.methods[name].prepare
        if prepare is None:
            return {}
        images = pixels.astype(np.float32) / np.float32(255)
        return {key: np.asarray(value) for key, value in prepare(images).items()}

    def predict(self, pixels: Array, targets: Array) -> Results:
        """The classes of a group of tiles; `targets` are used where labels decide."""
        with self._compiling():
            return self._predict(self._model, pixels, targets)

    def compute(
        self, pixels: Array, index: Array, targets: Array
    ) -> tuple[Results, Mapping[str, Results]]:
        """The classes, and the maps of all methods that need nothing prepared.

        One program, so that what they have in common is computed once.
        """
        with self._compiling():
            return self._compute(self._model, pixels, index, targets)

    def explain(
        self, name: str, pixels: Array, index: Array, targets: Array, prepared: Results
    ) -> Results:
        """A method's maps of a group of tiles, and what is known of them."""
        with self._compiling():
            return self._methods[name](self._model, pixels, index, targets, prepared)

    def explain_alone(
        self,
        name: str,
        pixels: np.ndarray,
        index: np.ndarray,
        targets: np.ndarray,
        prepared: Results,
    ) -> Results:
        """A method's maps of any number of records, the same on every device."""
        with self._compiling():
            return self._alone[name](self._model, pixels, index, targets, prepared)

    def blank(self, name: str) -> Results:
        """The shape of one record's results, filled with nothing."""
        shapes = self.trace(name)
        return {k: np.zeros((1, *v.shape[1:]), v.dtype) for k, v in shapes.items()}

    def layouts(self) -> list[Layout]:
        """The arrays that the maps of this plan need, by tracing alone.

        Raises:
          TypeError: as the methods.
          ValueError: as the methods, such as if there is no such site; or if the model
            has another number of outputs than classes.
        """
        self._check_classes()
        found = []
        for name in self.plan.methods:
            results = self.trace(name)
            found += [
                Layout(name, part, results[part].shape[1:], results[part].dtype.name)
                for part in ("map", "scale")
                if part in results
            ]
        return found

    def _check_classes(self) -> None:
        side, classes = self.plan.preprocess.size, self.plan.pretrained.classes
        image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        outputs = jax.eval_shape(lambda model, x: model(x), self._model, image)
        if outputs.shape[-1] != len(classes):
            raise ValueError(
                f"`classes` has {len(classes)} names, but the model gives "
                f"{outputs.shape[-1]} outputs. Give one name per output."
            )

    def trace(self, name: str) -> Results:
        """Shapes of a method's results for one record; nothing is computed."""
        if name in self._shapes:
            return self._shapes[name]
        plan, size = self.plan, 1
        side = plan.preprocess.size
        pixels = jax.ShapeDtypeStruct((size, side, side, 3), jnp.uint8)
        numbers = jax.ShapeDtypeStruct((size,), jnp.int32)
        prepared = self.prepare(name, np.zeros(pixels.shape, np.uint8))
        with self._compiling():
            self._shapes[name] = jax.eval_shape(
                partial(tile.explain, plan, name),
                *(self._model, pixels, numbers, numbers, prepared),
            )
        return self._shapes[name]

    def _compiling(self) -> AbstractContextManager[None]:
        """What tracing and compiling depend on, beside the program."""
        return compiling(self.plan.precision, self._memory)

    def _spread(self, of_tile: Callable[..., Any], count: int) -> Callable[..., Any]:
        """A program of one tile as one of a tile on every device."""
        specs = (P(), *(P("data"),) * (count - 1))
        return jax.jit(
            jax.shard_map(
                of_tile,
                mesh=self._mesh,
                in_specs=specs,
                out_specs=P("data"),
                check_vma=False,
            ),
            compiler_options=compiler_options(self._mesh.devices.flat[0].platform),
        )
