"""What the package brings along: weights, class names and photographs."""

from pathlib import Path

import numpy as np

from xattr.models._files import read_weights

FOLDER = Path(__file__).parent / "bundled"
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer") + (
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_CAMVID = ("sky", "building", "pole", "road", "pavement", "tree") + (
    "sign or symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
    "unlabelled",
)
_NAMES = {"cifar10": _CIFAR10, "camvid": _CAMVID}


def photographs() -> list[Path]:
    """Return the photographs that the package brings along, in order of name.

    Returns:
      Paths of image files; `LICENSES/photographs.md` beside their folder names the
      source and licence of each.

    Example:
      >>> [path.name for path in photographs()][:2]
      ['astronaut.jpg', 'cat.jpg']
    """
    return sorted((FOLDER / "photographs").iterdir())


def bundled_weights(name: str) -> dict[str, np.ndarray]:
    """Return a bundled network's tensors, 8-bit ones turned back to float32.

    $$ w = s (q - z) $$

    Args:
      name: file without its ending.

    Returns:
      Tensors by torchvision's names.
    """
    tensors = read_weights(FOLDER / f"{name}.safetensors")
    return {
        key: _dequantized(tensors, key)
        for key in tensors
        if not key.endswith((".scale", ".zero"))
    }


def class_names(labels: str) -> tuple[str, ...]:
    """Return the names of a set of classes, in the order of the logits."""
    if labels in _NAMES:
        return _NAMES[labels]
    return tuple((FOLDER / f"{labels}.txt").read_text("utf-8").splitlines())


def _dequantized(tensors: dict[str, np.ndarray], key: str) -> np.ndarray:
    """Value of a tensor, 8-bit or not."""
    value = tensors[key]
    if f"{key}.scale" not in tensors:
        return value
    steps = value.astype(np.float32) - tensors[f"{key}.zero"]
    return steps * tensors[f"{key}.scale"]
