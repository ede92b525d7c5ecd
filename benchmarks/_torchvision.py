"""Torchvision's definitions of networks, for what is compared with them.

Where torchvision is installed without its compiled operators, importing it fails
unless they are declared; none of the networks calls them. Import torchvision, and
what imports it in turn (pytorch-grad-cam does), through this module or after it.
"""

import os
from collections.abc import Mapping

import numpy as np
import torch
from safetensors.torch import load_file

# Declarations last as long as this object.
_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _name):
        _LIBRARY.define(f"{_name}(Tensor boxes, Tensor scores, float limit) -> Tensor")

import torchvision  # noqa: E402

__all__ = ["Normalized", "build", "load", "torchvision"]


class Normalized(torch.nn.Module):
    """A network that takes RGB in [0, 1], `n c h w`, as the ones of this package do."""

    def __init__(
        self,
        network: torch.nn.Module,
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        channels: str,
    ):
        super().__init__()
        self.network = network
        self.mean = torch.tensor(mean, dtype=torch.float64)[:, None, None]
        self.std = torch.tensor(std, dtype=torch.float64)[:, None, None]
        self.channels = channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits for a batch of images."""
        return self.network(self.normalized(images))

    def normalized(self, images: torch.Tensor) -> torch.Tensor:
        """The same images as the network takes them."""
        ordered = images.flip(1) if self.channels == "BGR" else images
        mean, std = self.mean.to(images.dtype), self.std.to(images.dtype)
        return (ordered - mean) / std


def load(name: str, weights: str | os.PathLike) -> torch.nn.Module:
    """Return torchvision's network of that name, in evaluation mode.

    Args:
      name: as torchvision has it.
      weights: safetensors file with all tensors but the counters of batch norm.
    """
    return build(name, load_file(weights))


def build(name: str, tensors: Mapping[str, torch.Tensor | np.ndarray]):
    """The same from tensors."""
    network = getattr(torchvision.models, name)(weights=None)
    single = {key: torch.as_tensor(value).float() for key, value in tensors.items()}
    missing, surplus = network.load_state_dict(single, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or surplus:
        raise ValueError(
            f"These tensors do not fit torchvision's {name}: missing {missing}, "
            f"surplus {surplus}."
        )
    return network.eval()
