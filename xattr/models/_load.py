"""Pretrained networks by name."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xattr import program
from xattr._model import Model, from_nnx
from xattr.images._preprocess import Preprocess
from xattr.images._stretch import Stretch
from xattr.models._bundled import bundled_weights, class_names
from xattr.models._convert import torch_shapes, with_tensors
from xattr.models._files import read_weights
from xattr.models._network import Network, Normalize
from xattr.models._presets import PRESETS, Preset, find_preset


@dataclass(frozen=True)
class Pretrained:
    """A trained network with all that is needed to use it on files.

    Attributes:
      name: what it was loaded as.
      model: takes RGB in [0, 1], `n h w c`, normalizes inside, returns logits `n k`,
        or `n h w k` if it segments.
      preprocess: from an RGB photograph, uint8 `h w 3`, to one image for `model`.
      classes: names in the order of the logits.
      site: the last spatial block, where CAMs are computed unless told otherwise.
    """

    name: str
    model: Model
    preprocess: Preprocess | Stretch
    classes: tuple[str, ...]
    site: str


def names() -> dict[str, bool]:
    """Return the names that `load` knows, and whether the package has the weights.

    Example:
      >>> [name for name, bundled in names().items() if bundled]
      ['mobilenet_v2', 'squeezenet1_1']
    """
    return {name: preset.bundled for name, preset in PRESETS.items()}


def load(
    name: str,
    *,
    weights: str | os.PathLike | None = None,
    normalize: Normalize | None = None,
    preprocess: Preprocess | Stretch | None = None,
    classes: Sequence[str] | None = None,
    rewrite: bool = True,
) -> Pretrained:
    """Return a network with its weights, preprocessing and class names.

    Args:
      name: one of `names()`.
      weights: safetensors or torch `state_dict` file in torchvision's tensor names.
        The bundled weights by default, where there are any. The number of classes
        is read from it.
      normalize: what the network takes from RGB in [0, 1], if the weights were
        trained otherwise than the ones `name` stands for.
      preprocess: resizing and cut of photographs, likewise.
      classes: names of the classes, likewise. By default those that `name` stands
        for, or "class 0", "class 1", … if the weights have another number.
      rewrite: put convolutions in the form that is fastest on a CPU, see
        `xattr.program.rewrite`; outputs and gradients change by rounding only.

    Returns:
      The network as a `Model`, in evaluation mode, and what goes with it.

    Raises:
      FileNotFoundError: if there is no file `weights`.
      TypeError: if the file holds weights that are not of floating point.
      ValueError: if `name` is unknown, `weights` is needed, broken or does not fit,
        or `classes` has another length than the logits.

    Example:
      >>> pretrained = load("squeezenet1_1")
      >>> pretrained.preprocess.size, pretrained.classes[0], pretrained.site
      (227, 'tench, Tinca tinca', 'features/12')

    Notes:
      "squeezenet1_1" and "squeezenet1_0_pruned" are Caffe's, "mobilenet_v2" is
      TensorFlow's (SAME padding, batch normalization folded into the convolutions).
      Weights from torchvision go by "squeezenet1_1_torchvision", "squeezenet1_0" and
      "mobilenet_v2_torchvision". "espnet_camvid" segments, has its authors' tensor
      names, and takes whole frames: see the section on segmentation in
      docs/conventions.md.
    """
    preset = find_preset(name)
    network = load_network(name, weights=weights, normalize=normalize)
    model = from_nnx(network)
    return Pretrained(
        name,
        program.rewrite(model) if rewrite else model,
        preprocess or preset.preprocess,
        _classes(classes, preset.labels, _num_classes(network, preset)),
        preset.site,
    )


def load_network(
    name: str,
    *,
    weights: str | os.PathLike | None = None,
    normalize: Normalize | None = None,
) -> Network:
    """Return the Flax NNX module itself: `head(features(normalize(images)))`.

    Args:
      name: one of `names()`.
      weights: as in `load`.
      normalize: as in `load`.

    Returns:
      The module, to take apart: `network.features` gives the last spatial map (of a
      network that segments, the maps that its head needs).

    Raises:
      FileNotFoundError: as in `load`.
      TypeError: as in `load`.
      ValueError: as in `load`.
    """
    preset = find_preset(name)
    tensors = _tensors(name, preset, weights)
    num_classes = _rows(tensors, preset)

    return with_tensors(preset.abstract(num_classes, normalize=normalize), tensors)


def _tensors(
    name: str, preset: Preset, weights: str | os.PathLike | None
) -> dict[str, np.ndarray]:
    """Read the given file, or the bundled one."""
    if weights is not None:
        return read_weights(weights)
    if preset.bundled:
        return bundled_weights(name)
    having = ", ".join(name for name, bundled in names().items() if bundled)
    raise ValueError(
        f"The package has no weights for {name!r} (only for {having}). Give a "
        f"safetensors or torch state_dict file with torchvision's tensor names: "
        f'`load("{name}", weights="{name}.safetensors")`.'
    )


def _rows(tensors: Mapping[str, np.ndarray], preset: Preset) -> int:
    """Count the logits that the weights give; as published if that is not clear."""
    for name in (preset.output, f"module.{preset.output}"):
        if name in tensors and tensors[name].ndim > 0:
            return tensors[name].shape[0]
    return len(class_names(preset.labels))


def _num_classes(network: Network, preset: Preset) -> int:
    """Count the logits of a network."""
    return torch_shapes(network)[preset.output][0]


def _classes(classes: Sequence[str] | None, labels: str, count: int) -> tuple[str, ...]:
    """Names of the classes: given, published or numbered."""
    if classes is None:
        published = class_names(labels)
        if len(published) == count:
            return published
        return tuple(f"class {index}" for index in range(count))
    if len(classes) != count:
        raise ValueError(
            f"`classes` has {len(classes)} names, but the weights give {count} "
            "logits. Give one name per logit."
        )
    return tuple(classes)
