"""Methods of this package as candidates."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import xattr
from benchmarks import _photographs
from benchmarks._networks import random_weights, weights_file
from benchmarks._timing import HostMemory
from benchmarks._worker import Prepared, Settings
from xattr import models, relevance
from xattr.models._presets import find_preset


class Ours(NamedTuple):
    """A network, the site of its CAMs, images and their classes."""

    model: xattr.Model
    site: str
    images: jax.Array
    classes: jax.Array


def method(
    settings: Settings,
    network: str,
    batch: int,
    *,
    name: str,
    site: bool = False,
    random: bool = False,
    compare: str = "maps",
    combined: str = "",
    rewrite: bool = True,
    folded: bool = False,
    pictures: bool = False,
    baselines: bool = False,
    composite: str = "",
    **options: Any,
) -> Prepared:
    """One method of the package, compiled ahead of the clock.

    Args:
      settings: what all candidates share.
      network: its name.
      batch: number of images.
      name: the method's.
      site: whether it reads one.
      random: whether it draws.
      compare: what is compared: `maps`, `pictures` or pictures of `either sign`.
      combined: a combinator around the method.
      rewrite: as `models.load` takes it.
      folded: whether batch norms are folded into the convolutions before them.
      pictures: rectify, resize and scale within the time measured.
      baselines: whether black, gray and white images are its data set.
      composite: name of its composite.
      **options: hyperparameters.
    """
    with _precision(settings):
        found = load(settings, network, batch, rewrite=rewrite, folded=folded)
        loaded = _memory().used()
        function = getattr(xattr, name, None) or getattr(relevance, name)
        if combined:
            kept = {k: options.pop(k) for k in ("num_samples", "stddev")}
            function = getattr(xattr, combined)(function, **kept)
        if site:
            options["site"] = found.site
        if composite:
            options["composite"] = getattr(relevance, composite)()
        data = {"key": jax.random.key(0)} if random else {}
        if baselines:
            data["baselines"] = plain(found.images)

        def explain(model, images, classes, data):
            maps = function(model, images, classes, **options, **data)
            return _pictures(maps, images) if pictures else maps

        arguments = (found.model, found.images, found.classes, data)
        run = jax.jit(explain).lower(*arguments).compile()
        forward = (
            jax.jit(lambda model, x: model(x))
            .lower(found.model, found.images)
            .compile()
        )
    return Prepared(
        run=lambda: jax.block_until_ready(run(*arguments)),
        maps=lambda maps: _comparable(maps, found.images, compare),
        memory=_memory(),
        loaded=loaded,
        classes=np.asarray(found.classes).tolist(),
        forward=lambda: jax.block_until_ready(forward(found.model, found.images)),
        facts={"device": _device(), "flops": _flops(forward)},
    )


def load(
    settings: Settings,
    network: str,
    batch: int,
    *,
    rewrite: bool = True,
    folded: bool = False,
) -> Ours:
    """A network with weights of the data folder, or the same random ones as theirs."""
    file = weights_file(settings.data, network)
    preset = find_preset(network)
    if file is None:
        module = models.with_tensors(preset.abstract(1000), random_weights(network))
    else:
        module = models.load_network(network, weights=file)
    if folded:
        fold_batch_norms(module)
    model = xattr.from_nnx(module)
    model = xattr.program.rewrite(model) if rewrite else model
    photographs = _photographs.sample(settings.data, batch)
    pixels = _photographs.batch(photographs, preset.preprocess)
    dtype = jnp.dtype(settings.dtype)
    model, images = jax.tree.map(
        lambda x: x.astype(dtype), (model, jnp.asarray(pixels))
    )
    classes = jax.jit(lambda model, x: model(x))(model, images).argmax(axis=1)
    return Ours(model, preset.site, images, classes)


class Bias(nnx.Module):
    """What is left of a batch norm whose scale went into a convolution."""

    def __init__(self, value: jax.Array):
        self.value = nnx.Param(value)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Add it."""
        return x + self.value


def fold_batch_norms(network: nnx.Module) -> None:
    """Fold them into the convolutions before them, in place."""
    for _, module in list(nnx.iter_modules(network)):
        before = None
        for name, part in list(vars(module).items()):
            if isinstance(part, nnx.BatchNorm) and isinstance(before, nnx.Conv):
                scale = part.scale / jnp.sqrt(part.var + part.epsilon)
                before.kernel[...] = before.kernel * scale
                setattr(module, name, Bias(part.bias - part.mean * scale))
            before = part


def plain(images: jax.Array) -> jax.Array:
    """Black, gray and white."""
    levels = jnp.array([0.0, 0.5, 1.0], images.dtype)[:, None, None, None]
    return jnp.broadcast_to(levels, (3, *images.shape[1:]))


def _comparable(maps: jax.Array, images: jax.Array, compare: str) -> list[np.ndarray]:
    if compare == "maps":
        return [np.asarray(maps, np.float32)]
    signs = (1, -1) if compare == "either sign" else (1,)
    return [np.asarray(_pictures(sign * maps, images), np.float32) for sign in signs]


def _pictures(maps: jax.Array, images: jax.Array) -> jax.Array:
    if maps.shape[1:3] != images.shape[1:3]:
        resized = xattr.images.resize(jax.nn.relu(maps), images.shape[1:3])
        return xattr.images.min_max(resized)
    return maps


@contextlib.contextmanager
def _precision(settings: Settings) -> Iterator[None]:
    with jax.default_matmul_precision("tensorfloat32" if settings.tf32 else "highest"):
        yield


def _flops(compiled: Any) -> float:
    analysis = compiled.cost_analysis() or {}
    return float(analysis.get("flops", 0.0))


def _device() -> str:
    device = jax.local_devices()[0]
    return "cpu" if device.platform == "cpu" else device.device_kind


class _DeviceMemory:
    """Bytes on the accelerator; its peak can't be forgotten."""

    def used(self) -> int:
        return _stats()["bytes_in_use"]

    def reset(self) -> None:
        pass

    def peak(self) -> int:
        return _stats()["peak_bytes_in_use"]


def _stats() -> Mapping[str, int]:
    return jax.local_devices()[0].memory_stats()


def _memory() -> Any:
    return HostMemory() if _device() == "cpu" else _DeviceMemory()
