"""The same network and photographs on both sides, and how far their maps are apart."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from jaxtyping import Array, Float, Int

import xattr
from benchmarks import _photographs, _torchvision
from xattr.models import Network, load_network, to_tensors
from xattr.models._layers import AveragePool, MaxPool
from xattr.models._presets import find_preset

Maps = Float[np.ndarray, "n ..."]
# Noise of this much leaves an 8-bit photograph the same, and no two pixels equal.
_HALF_LEVEL = 0.5 / 255

# The last spatial block under torchvision's name.
LAYERS = {
    "resnet50": "network.layer4.2",
    "resnet18": "network.layer4.1",
    "squeezenet1_1": "network.features.12",
    "vgg16": "network.features.29",
}


class Case(NamedTuple):
    """The same network and photographs on both sides.

    Attributes:
      model: the network here, from RGB in [0, 1].
      site: where the CAMs of both sides look.
      images: photographs, RGB in [0, 1].
      classes: the predicted classes.
      baseline: where paths begin.
      module: the network there, from the same RGB.
      layer: the module whose output is the site.
    """

    model: xattr.Model
    site: str
    images: Float[Array, "n h w 3"]
    classes: Int[Array, " n"]
    baseline: Float[Array, "1 h w 3"]
    module: torch.nn.Module
    layer: torch.nn.Module

    @property
    def inputs(self) -> torch.Tensor:
        """The photographs as torch has them."""
        return to_torch(self.images).requires_grad_()

    @property
    def targets(self) -> torch.Tensor:
        """The classes as torch has them."""
        return torch.from_numpy(np.array(self.classes)).long()


class Comparison(NamedTuple):
    """A method of a peer, and the pairs of maps that should be equal.

    Attributes:
      peer: library.
      theirs: the peer's class and settings.
      ours: the method that should agree with it.
      pairs: from a case to pairs (ours, theirs): raw maps, then, where the peer makes
        pictures of them, what it returns.
      kinks: whether it differentiates down to the image, through every ReLU and pool.
      note: how definitions that differ were made to meet.
    """

    peer: str
    theirs: str
    ours: str
    pairs: Callable[[Case], list[tuple[Maps, Maps]]]
    kinks: bool = False
    note: str = ""


def difference(ours: Maps, theirs: Maps) -> list[float]:
    """Largest difference over the peer's largest magnitude, for each image."""
    axes = tuple(range(1, theirs.ndim))
    return (np.abs(ours - theirs).max(axes) / np.abs(theirs).max(axes)).tolist()


def case(
    name: str,
    weights: Path | None,
    photographs: Sequence[np.ndarray],
    *,
    dithered: bool = False,
) -> Case:
    """One network on both sides, in the precision that JAX is set to.

    Args:
      name: network of both this package and torchvision.
      weights: file with its weights; the bundled ones when None.
      photographs: RGB, uint8.
      dithered: add noise of less than half a gray level to photographs and to the black
        baseline, so that no two pixels are equal.
    """
    network = load_network(name, weights=weights)
    return case_of(name, network, photographs, dithered=dithered)


def case_of(
    name: str,
    network: Network,
    photographs: Sequence[np.ndarray],
    *,
    dithered: bool = False,
    means: bool = False,
) -> Case:
    """As `case`, with the weights of a network of this package.

    Args:
      name: its name.
      network: what is compared with torchvision's network of the same weights.
      photographs: RGB, uint8.
      dithered: as in `case`.
      means: put means in the place of maximum pooling.
    """
    preset, normalize = find_preset(name), network.normalize
    inner = _torchvision.build(name, to_tensors(network))
    if means:
        network = nnx.clone(network)
        _replace(nnx.iter_modules(network), MaxPool, _mean)
        _replace(inner.named_modules(), torch.nn.MaxPool2d, _mean_there)
    module = _torchvision.Normalized(
        inner,
        mean=normalize.mean,
        std=normalize.std,
        channels=normalize.channels,
    )
    images = _photographs.batch(photographs, preset.preprocess)
    baseline = np.zeros_like(images[:1])
    if dithered:
        images, baseline = _dither(images), _dither(baseline)
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    rewritten = xattr.program.rewrite(xattr.from_nnx(network))
    model = jax.tree.map(lambda x: x.astype(dtype), rewritten)
    module = module.double() if dtype == jnp.float64 else module
    classes = jax.jit(model)(jnp.asarray(images, dtype)).argmax(axis=1)
    found = Case(
        model,
        preset.site,
        jnp.asarray(images, dtype),
        classes,
        jnp.asarray(baseline, dtype),
        module,
        module.get_submodule(LAYERS[name]),
    )
    with torch.no_grad():
        if not torch.equal(module(found.inputs).argmax(dim=1), found.targets):
            raise ValueError(f"{name}: the two sides predict different classes.")
    return found


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Both sides in float64; captum's quadrature nodes have torch's default type."""
    torch.set_default_dtype(torch.float64)
    try:
        with jax.enable_x64(True):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def to_torch(images: Float[Array, "n h w c"]) -> torch.Tensor:
    """Images with channels first."""
    return torch.from_numpy(np.array(images)).movedim(3, 1).contiguous()


def from_torch(maps: torch.Tensor) -> Maps:
    """Maps with channels last."""
    return maps.detach().movedim(1, -1).numpy()


def _replace(
    modules: Iterable[tuple[Any, Any]], kind: type, by: Callable[[Any], Any]
) -> None:
    """Put other modules in the place of those of a kind."""
    for _, module in list(modules):
        children = getattr(module, "_modules", vars(module))
        for name, child in list(children.items()):
            if isinstance(child, kind):
                setattr(module, name, by(child))


def _mean(pool: MaxPool) -> AveragePool:
    return AveragePool(pool.window, stride=pool.stride, padding=pool.padding)


def _mean_there(pool: torch.nn.MaxPool2d) -> torch.nn.AvgPool2d:
    return torch.nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding)


def _dither(images: Maps) -> Maps:
    noise = np.random.default_rng(0).uniform(size=images.shape)
    return (images + _HALF_LEVEL * noise).astype(np.float32)
