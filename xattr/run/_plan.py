"""What a run computes: all that decides its bytes, and nothing else."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from xattr._types import Method
from xattr.combinators._bound import Combined
from xattr.images import Preprocess
from xattr.images._stretch import squares
from xattr.run._described import digest, method_settings
from xattr.run._layout import SHARD

if TYPE_CHECKING:
    from xattr.models import Pretrained

MapsDtype = Literal["float32", "float16", "int8"]


@dataclass(frozen=True)
class Plan:
    """What is computed for every record.

    Attributes:
      pretrained: the network and what goes with it.
      methods: rows of the methods' table, by name.
      options: hyperparameters of methods, by the method's name.
      target: class index; "predicted" for each record's predicted class; "label" for
        the class that its label names.
      site: where methods that read a site read.
      tile_size: records that one device computes together; a power of two, 256 at
        most. Another one changes results in their last bits.
      seed: of the key that methods draw with; each record's key is folded with its
        number, so that tiles do not matter.
      precision: of matrix products, as `jax.default_matmul_precision` takes it.
      compute_dtype: what the network computes in.
      maps_dtype: what maps are kept in; "int8" with a scale for each.
      chunk_memory: bytes of a chunk of evaluations, see `xattr.chunk_memory`. By
        default 256 MiB on a CPU, and a share of an accelerator's memory.
      resolution: "raw" keeps a site's grid, "input" enlarges it to the image's size.

    Raises:
      ValueError: for a `tile_size` that does not divide a shard, a `target` that is
        no class, options of a method that is not there, or a network that segments.
    """

    pretrained: "Pretrained"
    methods: Mapping[str, Any]
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    target: int | Literal["predicted", "label"] = "predicted"
    site: str = ""
    tile_size: int = 8
    seed: int = 0
    precision: str | None = None
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    chunk_memory: int | None = None
    maps_dtype: MapsDtype = "float32"
    resolution: Literal["raw", "input"] = "raw"

    def __post_init__(self) -> None:
        if not 1 <= self.tile_size <= SHARD or SHARD % self.tile_size:
            raise ValueError(
                f"`tile_size`={self.tile_size} must divide the {SHARD} records of a "
                f"shard: give 1, 2, 4, 8, … or {SHARD}."
            )
        squares(self.pretrained.preprocess, self.pretrained.name)
        count = len(self.pretrained.classes)
        if isinstance(self.target, int) and not 0 <= self.target < count:
            raise ValueError(
                f"`target`={self.target} is no class of this model: give 0 to "
                f"{count - 1}."
            )
        unknown = self.options.keys() - self.methods.keys()
        if unknown:
            raise ValueError(
                f"`options` are given for {', '.join(sorted(unknown))}, not among the "
                f"methods of the run: {', '.join(self.methods)}."
            )

    def method(self, name: str) -> Method:
        """A method with its hyperparameters and its site."""
        row, options = self.methods[name], dict(self.options.get(name, {}))
        method = row.method
        if isinstance(method, Combined):
            # What a combinator has bound is set there, the rest in its inner method.
            inner = {k: options.pop(k) for k in method.options if k in options}
            method = Combined(method.function, **{**method.options, **inner})
        return partial(method, **({"site": self.site} if row.site else {}), **options)

    def identity(self) -> dict[str, Any]:
        """What decides every byte of the results, apart from the records."""
        from xattr._version import __version__

        return {
            "xattr": __version__,
            "model": {
                "name": self.pretrained.name,
                "weights": digest(jax.tree.leaves(self.pretrained.model)),
                "classes": digest([np.array(self.pretrained.classes)]),
                "preprocess": asdict(self.preprocess),
            },
            "methods": {
                name: method_settings(self.method(name), name=name)
                for name in self.methods
            },
            "target": self.target,
            "site": self.site if self.reads_site else None,
            "seed": self.seed,
            "tile_size": self.tile_size,
            "compute": {
                "dtype": self.compute_dtype,
                "precision": self.precision,
                "chunk_memory": self.chunk_memory,
            },
            "maps": {"dtype": self.maps_dtype, "resolution": self.resolution},
        }

    @property
    def preprocess(self) -> Preprocess:
        """What makes the network's square from a photograph."""
        return squares(self.pretrained.preprocess, self.pretrained.name)

    @property
    def reads_site(self) -> bool:
        """Whether a method reads the site."""
        return any(row.site for row in self.methods.values())
