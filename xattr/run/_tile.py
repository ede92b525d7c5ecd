"""What is computed of one tile: the classes, and the maps as they are kept."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from xattr._model import Model
from xattr.images import resize, status
from xattr.run._plan import Plan

TOP = 3

Results = Mapping[str, Any]


def _images(pixels: UInt8[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    return pixels.astype(jnp.float32) / 255


def predict(
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


def compute(
    plan: Plan,
    model: Model,
    pixels: UInt8[Array, "n h w 3"],
    index: Int[Array, " n"],
    labels: Int[Array, " n"],
) -> tuple[Results, Mapping[str, Results]]:
    """What the model says of one tile, and its maps."""
    predicted = predict(plan.target, model, pixels, labels)
    maps = {
        name: explain(plan, name, model, pixels, index, predicted["target"], {})
        for name, row in plan.methods.items()
        if row.prepare is None
    }
    return predicted, maps


def explain(
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
