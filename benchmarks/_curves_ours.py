"""Deletion and insertion of this package as a candidate."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _ours
from benchmarks._curves_maps import maps_of
from benchmarks._worker import Prepared, Settings
from xattr.metrics import deletion, insertion


def curves(settings: Settings, network: str, batch: int, *, num_steps: int) -> Prepared:
    """Both areas, means over the images, compiled ahead of the clock."""
    with _ours._precision(settings):
        found = _ours.load(settings, network, batch)
        loaded = _ours._memory().used()
        pixels = np.asarray(found.images.astype(jnp.float32))
        options = {"num_steps": num_steps, "baseline": 0.0}

        def areas(model, images, maps, classes):
            return jnp.stack(
                [
                    metric(model, images, maps, classes, **options).area.mean()
                    for metric in (deletion, insertion)
                ]
            )[None]

        arguments = (found.model, found.images, maps_of(pixels), found.classes)
        run = jax.jit(areas).lower(*arguments).compile()
        forward = (
            jax.jit(lambda model, x: model(x))
            .lower(found.model, found.images)
            .compile()
        )
    return Prepared(
        run=lambda: jax.block_until_ready(run(*arguments)),
        maps=lambda areas: [np.asarray(areas, np.float32)],
        memory=_ours._memory(),
        loaded=loaded,
        classes=np.asarray(found.classes).tolist(),
        forward=lambda: jax.block_until_ready(forward(found.model, found.images)),
        facts={"device": _ours._device(), "flops": _ours._flops(forward)},
    )
