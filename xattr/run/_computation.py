"""A plan as compiled programs over a mesh of devices."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, UInt8

from xattr._budget import chunk_memory
from xattr._model import Model
from xattr.images import resize, status
from xattr.run._layout import Layout
from xattr.run._plan import Plan

TOP = 3

# YNNPACK divides reductions and products among as many threads as there are cores or
# simulated devices, and their last bits depend on it; those of convolutions do not.
_ON_CPU = {
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"
    )
}

# Of an accelerator's memory; the rest is left to parameters and XLA's scratch space.
_SHARE = 0.4

# How many devices are simulated changes no byte.
_SIMULATION = ("--xla_force_host_platform_device_count",)

Results = Mapping[str, Any]


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
        model = _in_dtype(plan.pretrained.model, plan.compute_dtype)
        self._model = jax.device_put(model, NamedSharding(self._mesh, P()))
        self._predict = self._spread(partial(_predict, plan.target), 3)
        self._compute = self._spread(partial(_compute, plan), 4)
        tiles = {name: partial(_explain, plan, name) for name in plan.methods}
        self._methods = {name: self._spread(f, 5) for name, f in tiles.items()}
        self._shapes: dict[str, Results] = {}
        options = compiler_options(devices[0].platform)
        self._alone = {
            name: jax.jit(f, compiler_options=options) for name, f in tiles.items()
        }

    def put(self, array: np.ndarray) -> Array:
        """An array of all tiles, each tile on its device."""
        return jax.device_put(array, self._sharding)

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
        side, classes = (
            self.plan.pretrained.preprocess.size,
            self.plan.pretrained.classes,
        )
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
        side = plan.pretrained.preprocess.size
        pixels = jax.ShapeDtypeStruct((size, side, side, 3), jnp.uint8)
        numbers = jax.ShapeDtypeStruct((size,), jnp.int32)
        prepare = plan.methods[name].prepare
        prepared = prepare(np.zeros((size, side, side, 3), "f4")) if prepare else {}
        with self._compiling():
            self._shapes[name] = jax.eval_shape(
                partial(_explain, plan, name),
                *(self._model, pixels, numbers, numbers, prepared),
            )
        return self._shapes[name]

    @contextmanager
    def _compiling(self) -> Iterator[None]:
        """What tracing and compiling depend on, beside the program."""
        with jax.default_matmul_precision(self.plan.precision), ExitStack() as stack:
            if self._memory is not None:
                stack.enter_context(chunk_memory(self._memory))
            yield

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


def compiler_options(platform: str) -> dict[str, str]:
    """What the programs of a run are compiled with beside the flags."""
    return _ON_CPU if platform == "cpu" else {}


def chunk_bytes(device: Any) -> int | None:
    """Bytes for a chunk of evaluations that are the same every time."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    return int(stats["bytes_limit"] * _SHARE) if stats else None


def compiler(computation: Computation) -> dict[str, Any]:
    """What decides the bytes beside the plan: the compiler, its flags, the device."""
    import jaxlib.version
    import PIL

    flags = shlex.split(os.environ.get("XLA_FLAGS", ""))
    device, chosen = computation.device, computation.plan.chunk_memory
    return {
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "flags": sorted(f for f in flags if not f.startswith(_SIMULATION)),
        "chunk_memory": None if chosen else chunk_bytes(device),
        "num_perturbation": computation.num_perturbation,
        "random": {
            "prng": str(jax.random.key_impl(jax.random.key(0))),
            "partitionable": bool(jax.threefry_partitionable.value),
        },
        "options": compiler_options(device.platform),
        "platform": device.platform,
        "device": device.device_kind,
        "x64": bool(jax.config.read("jax_enable_x64")),
    }


def _images(pixels: UInt8[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    return pixels.astype(jnp.float32) / 255


def _predict(
    target: int | str,
    model: Model,
    pixels: UInt8[Array, "n h w 3"],
    labels: Int[Array, " n"],
) -> Results:
    """The most probable classes, and the class to explain."""
    logits = model(_images(pixels)).astype(jnp.float32)
    probabilities = jax.nn.softmax(logits)
    values, classes = jax.lax.top_k(probabilities, min(TOP, probabilities.shape[-1]))
    if isinstance(target, int):
        targets = jnp.full_like(labels, target)
    else:
        targets = classes[:, 0] if target == "predicted" else labels
    chosen = jnp.take_along_axis(probabilities, targets[:, None], 1)[:, 0]
    return {
        "classes": classes.astype(jnp.int32),
        "probabilities": values,
        "target": targets.astype(jnp.int32),
        "target_probability": chosen,
    }


def _compute(
    plan: Plan,
    model: Model,
    pixels: UInt8[Array, "n h w 3"],
    index: Int[Array, " n"],
    labels: Int[Array, " n"],
) -> tuple[Results, Mapping[str, Results]]:
    """What the model says of one tile, and its maps."""
    predicted = _predict(plan.target, model, pixels, labels)
    maps = {
        name: _explain(plan, name, model, pixels, index, predicted["target"], {})
        for name, row in plan.methods.items()
        if row.prepare is None
    }
    return predicted, maps


def _explain(
    plan: Plan,
    name: str,
    model: Model,
    pixels: UInt8[Array, "n h w 3"],
    index: Int[Array, " n"],
    targets: Int[Array, " n"],
    prepared: Results,
) -> Results:
    """One tile's maps by one method, in the form in which they are kept."""
    images = _images(pixels)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(plan.seed), index)
    row = plan.methods[name]
    constants = row.baselines(images) if row.baselines else {}
    maps = plan.method(name)(model, images, targets, key=keys, **constants, **prepared)
    maps = maps.astype(jnp.float32)
    if plan.resolution == "input" and maps.ndim == 3:
        maps = resize(maps, (images.shape[1], images.shape[2]))
    axes = tuple(range(1, maps.ndim))
    largest = jnp.abs(maps).max(axes)
    kept = _kept(maps, largest, plan.maps_dtype)
    # Half precision ends at 65504: what is beyond is not finite in the store.
    seen = kept["map"] if plan.maps_dtype == "float16" else maps
    state = jnp.maximum(status(maps), status(seen))
    return {"state": state, "sum": maps.sum(axes), "max": largest, **kept}


def _kept(maps: Array, largest: Float[Array, " n"], dtype: str) -> Results:
    """Maps as they are stored; one byte each is a 127th of the largest magnitude."""
    if dtype != "int8":
        return {"map": maps.astype(dtype)}
    scale = largest / 127
    each = jnp.expand_dims(scale, tuple(range(1, maps.ndim)))
    sound = jnp.isfinite(each) & (each > 0)
    steps = jnp.where(sound, jnp.round(maps / jnp.where(sound, each, 1)), 0)
    return {"map": steps.astype(jnp.int8), "scale": scale}


def _in_dtype(model: Model, dtype: str) -> Model:
    """A model that computes in a type, of images in single precision."""
    if dtype == "float32":
        return model
    return Model(_InDtype(model.apply, dtype), _cast(model.params, jnp.dtype(dtype)))


class _InDtype(NamedTuple):
    """Apply a model to images cast to its type."""

    apply: Callable[..., Any]
    dtype: str

    def __call__(self, params: Any, images: Array) -> Any:
        return _cast(self.apply(params, images.astype(self.dtype)), jnp.float32)


def _cast(tree: Any, dtype: Any) -> Any:
    """Floating-point leaves in another type."""
    return jax.tree.map(
        lambda x: (
            x.astype(dtype)
            if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating)
            else x
        ),
        tree,
    )
