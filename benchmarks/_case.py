"""The same network and photographs on both sides, and how far their maps are apart."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, Float, Int

import xattr
from benchmarks import _photographs, _torchvision
from xattr.models import load, load_network

Maps = Float[np.ndarray, "n ..."]
# Noise of this much leaves an 8-bit photograph the same, and no two pixels equal.
_HALF_LEVEL = 0.5 / 255

# The last spatial block under torchvision's name.
LAYERS = {
    "resnet50": "network.layer4.2",
    "resnet18": "network.layer4.1",
    "squeezenet1_1": "network.features.12",
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
    pretrained = load(name, weights=weights)
    bundled = Path(xattr.models.__file__).parent / "bundled" / f"{name}.safetensors"
    normalize = load_network(name, weights=weights).normalize
    module = _torchvision.Normalized(
        _torchvision.load(name, weights or bundled),
        mean=normalize.mean,
        std=normalize.std,
        channels=normalize.channels,
    )
    images = _photographs.batch(photographs, pretrained.preprocess)
    baseline = np.zeros_like(images[:1])
    if dithered:
        images, baseline = _dither(images), _dither(baseline)
    dtype = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    model = jax.tree.map(lambda x: x.astype(dtype), pretrained.model)
    module = module.double() if dtype == jnp.float64 else module
    classes = jax.jit(model)(jnp.asarray(images, dtype)).argmax(axis=1)
    found = Case(
        model,
        pretrained.site,
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


def _dither(images: Maps) -> Maps:
    noise = np.random.default_rng(0).uniform(size=images.shape)
    return (images + _HALF_LEVEL * noise).astype(np.float32)
