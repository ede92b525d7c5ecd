"""Torch's side: the same network, and the methods of captum and pytorch-grad-cam."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from benchmarks import _photographs, _torchvision
from benchmarks._networks import TORCHVISION, random_weights, weights_file
from benchmarks._timing import THREADS, HostMemory, tried
from benchmarks._worker import Prepared, Settings
from xattr.models._presets import find_preset

LAYOUTS = {
    "default": torch.contiguous_format,
    "channels-last": torch.channels_last,
}
Run = Callable[[], torch.Tensor | np.ndarray]


class Theirs(NamedTuple):
    """A network, the layer of its CAMs, images and their classes."""

    module: torch.nn.Module
    layer: torch.nn.Module
    images: torch.Tensor
    classes: torch.Tensor


def load(
    settings: Settings,
    network: str,
    batch: int,
    *,
    layout: str,
    frozen: bool | None = None,
) -> Theirs:
    """The network in one of torch's layouts.

    Args:
      settings: what all candidates share.
      network: its name here.
      batch: number of images.
      layout: `default` or `channels-last`.
      frozen: whether parameters want no gradient; by default only in channels-last,
        which shall be the peer at its best.
    """
    torch.set_num_threads(THREADS)
    torch.backends.cuda.matmul.allow_tf32 = settings.tf32
    torch.backends.cudnn.allow_tf32 = settings.tf32
    torch.manual_seed(0)
    preset, (name, layer) = find_preset(network), TORCHVISION[network]
    normalize = preset.normalize()
    inner = _module(settings, network, name)
    module: Any = _torchvision.Normalized(
        inner, mean=normalize.mean, std=normalize.std, channels=normalize.channels
    )
    dtype, device = getattr(torch, settings.dtype), _device()
    module = module.to(device, dtype, memory_format=LAYOUTS[layout]).eval()
    module.mean, module.std = module.mean.to(device), module.std.to(device)
    frozen = layout != "default" if frozen is None else frozen
    module.requires_grad_(not frozen)
    photographs = _photographs.sample(settings.data, batch)
    pixels = torch.from_numpy(_photographs.batch(photographs, preset.preprocess))
    images = pixels.movedim(3, 1).to(device, dtype)
    images = images.contiguous(memory_format=LAYOUTS[layout])
    with torch.no_grad():
        classes = module(images).argmax(dim=1)
    found = inner.get_submodule(layer)
    if settings.torch_compile:
        module = torch.compile(module)
    return Theirs(module, found, images, classes)


def prepared(found: Theirs, run: Run, facts: Mapping[str, Any] = {}) -> Prepared:  # noqa: B006
    """A candidate, loaded."""
    device = _device()
    shown = device if device == "cpu" else torch.cuda.get_device_name()
    return Prepared(
        run=_finished(run),
        maps=lambda maps: [_array(maps)],
        memory=_memory(),
        loaded=_memory().used(),
        classes=found.classes.tolist(),
        facts={"device": shown, **facts},
    )


def tuned(
    found: Theirs,
    name: str,
    run: Callable[[int], Run],
    choices: Sequence[int],
    probe: Callable[[int], Run] | None = None,
) -> Prepared:
    """A candidate with the fastest of some settings.

    Args:
      found: its network.
      name: what the setting is called.
      run: from a setting to the work.
      choices: the settings that are tried.
      probe: from a setting to a part of the work, to try it on.
    """
    untuned = prepared(found, run(choices[0]))

    def tune() -> Prepared:
        part = probe or run
        seconds = tried(lambda choice: _finished(part(choice)), choices)
        best = min(choices, key=lambda choice: seconds[str(choice)])
        facts = {name: best, "tried, s": seconds}
        return prepared(found, run(best), facts)._replace(loaded=untuned.loaded)

    return untuned._replace(tune=tune)


def _finished(run: Run) -> Run:
    """The same, ending when the device has."""

    def finished() -> Any:
        result = run()
        if _device() != "cpu":
            torch.cuda.synchronize()
        return result

    return finished


def no_grad(run: Run) -> Run:
    """The same without a graph."""
    return torch.no_grad()(run)


def _module(settings: Settings, network: str, name: str) -> torch.nn.Module:
    file = weights_file(settings.data, network)
    if network == "mobilenet_v2":
        return _folded_mobilenet(file)
    if file is not None:
        return _torchvision.load(name, file)
    return _torchvision.build(name, random_weights(network))


def _folded_mobilenet(file: Any) -> torch.nn.Module:
    """Torchvision's MobileNetV2 as TensorFlow's weights want it.

    Batch normalization is folded into the convolutions, and those of stride 2 pad at
    the end alone.
    """
    network = _torchvision.torchvision.models.mobilenet_v2(weights=None)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())
            elif isinstance(child, torch.nn.Conv2d):
                child.bias = torch.nn.Parameter(torch.zeros(child.out_channels))
                if child.stride == (2, 2):
                    child.padding = (0, 0)
                    child.register_forward_pre_hook(_pad_at_the_end)
    network.load_state_dict(_torchvision.load_file(file))
    return network.eval()


def _pad_at_the_end(_: torch.nn.Module, inputs: tuple) -> tuple:
    return (functional.pad(inputs[0], (0, 1, 0, 1)),)


def _array(maps: torch.Tensor | np.ndarray) -> np.ndarray:
    if isinstance(maps, torch.Tensor):
        return maps.detach().float().movedim(1, -1).cpu().numpy()
    return np.asarray(maps, np.float32)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


class _DeviceMemory:
    """Bytes that torch holds on the accelerator."""

    def used(self) -> int:
        return torch.cuda.memory_allocated()

    def reset(self) -> None:
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated()


def _memory() -> Any:
    return HostMemory() if _device() == "cpu" else _DeviceMemory()
