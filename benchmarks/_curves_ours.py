"""Deletion and insertion of this package as a candidate."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks import _ours
from benchmarks._curves_maps import maps_of
from benchmarks._timing import tried
from benchmarks._worker import Prepared, Settings
from xattr.metrics import deletion, insertion

# Steps that a size of chunks is tried on.
_PROBED = 8


def curves(
    settings: Settings,
    network: str,
    batch: int,
    *,
    num_steps: int,
    devices: int = 1,
    chunk_sizes: Sequence[int] = (),
) -> Prepared:
    """Both areas, means over the images, compiled ahead of the clock.

    Args:
      settings: what all candidates share.
      network: its name.
      batch: number of images.
      num_steps: of each curve.
      devices: parts of the processor that images are divided among; an accelerator
        is one if there is but one.
      chunk_sizes: of which the fastest is taken; the package's own choice if none.
    """
    jax.config.update("jax_num_cpu_devices", devices)
    devices = min(devices, jax.device_count())
    with _ours._precision(settings):
        found = _ours.load(settings, network, batch)
        loaded = _ours._memory().used()
        pixels = np.asarray(found.images.astype(jnp.float32))
        mesh = jax.make_mesh((devices,), ("images",))
        whole, parts = PartitionSpec(), PartitionSpec("images")
        given = (found.model, found.images, maps_of(pixels), found.classes)
        places = (whole, parts, parts, parts)
        arguments = tuple(
            jax.device_put(value, NamedSharding(mesh, place))
            for value, place in zip(given, places, strict=True)
        )

        def compiled(chunk_size: int | None, num_steps: int = num_steps) -> Any:
            options = {"num_steps": num_steps, "baseline": 0.0}

            def areas(model, images, maps, classes):
                return jnp.stack(
                    [
                        metric(
                            *(model, images, maps, classes),
                            **options,
                            chunk_size=chunk_size,
                        ).area
                        for metric in (deletion, insertion)
                    ],
                    axis=1,
                )

            divided = jax.shard_map(
                areas, mesh=mesh, in_specs=places, out_specs=parts, check_vma=False
            )
            return jax.jit(divided).lower(*arguments).compile()

        forward = (
            jax.jit(lambda model, x: model(x))
            .lower(found.model, found.images)
            .compile()
        )

    def prepared(chunk_size: int | None, facts: dict[str, Any]) -> Prepared:
        with _ours._precision(settings):
            run = compiled(chunk_size)
        return Prepared(
            run=lambda: jax.block_until_ready(run(*arguments)),
            maps=lambda areas: [np.asarray(areas, np.float32).mean(0)[None]],
            memory=_ours._memory(),
            loaded=loaded,
            classes=np.asarray(found.classes).tolist(),
            forward=lambda: jax.block_until_ready(forward(found.model, found.images)),
            facts={
                "device": _ours._device(),
                "flops": _ours._flops(forward),
                "devices": devices,
                **facts,
            },
        )

    def tune() -> Prepared:
        def probe(size: int) -> Any:
            with _ours._precision(settings):
                run = compiled(size, min(_PROBED, num_steps))
            return lambda: jax.block_until_ready(run(*arguments))

        seconds = tried(probe, chunk_sizes)
        best = min(chunk_sizes, key=lambda size: seconds[str(size)])
        return prepared(best, {"chunk size": best, "tried, s": seconds})

    first = prepared(chunk_sizes[0] if chunk_sizes else None, {})
    return first._replace(tune=tune) if chunk_sizes else first
