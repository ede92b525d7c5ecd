"""Where a network's weights come from, the same for both sides."""

from pathlib import Path

import numpy as np

# Torchvision's name, and where CAMs look there.
TORCHVISION = {
    "resnet50": ("resnet50", "layer4.2"),
    "vgg16": ("vgg16", "features.29"),
    "mobilenet_v2": ("mobilenet_v2", "features.18"),
    "squeezenet1_1": ("squeezenet1_1", "features.12"),
}


def weights_file(data: Path, network: str) -> Path | None:
    """Return the file of a network's weights, or None where they are random."""
    path = data / "weights" / f"{network}.safetensors"
    return path if path.exists() else None


def random_weights(network: str) -> dict[str, np.ndarray]:
    """Return random weights, the same at every call, under torchvision's names."""
    from xattr.models import to_tensors, untrained

    return to_tensors(untrained(network))


def biased_weights(network: str) -> dict[str, np.ndarray]:
    """The same with biases that are not zero."""
    noise = np.random.default_rng(1)
    return {
        name: noise.normal(0, 0.1, tensor.shape).astype(np.float32)
        if name.endswith("bias")
        else tensor
        for name, tensor in random_weights(network).items()
    }
