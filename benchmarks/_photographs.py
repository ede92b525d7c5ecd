"""Photographs to measure on."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from xattr.images import Preprocess

DEMO = ("cat_dog.png", "doberman.png", "cat.jpg")


def demo(data: Path) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Return the three photographs of the demonstration."""
    return [_rgb((data / "demo" / name).read_bytes()) for name in DEMO]


def sample(data: Path, count: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Return photographs at even distances in the sample of ImageNet."""
    with tarfile.open(data / "imagenet_sample" / "images.tar") as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        chosen = [
            members[(2 * k + 1) * len(members) // (2 * count)] for k in range(count)
        ]
        return [_rgb(archive.extractfile(member).read()) for member in chosen]


def batch(
    photographs: Sequence[UInt8[np.ndarray, "h w 3"]], preprocess: Preprocess
) -> Float[np.ndarray, "n h w 3"]:
    """Return the photographs as a network takes them, RGB in [0, 1]."""
    return np.stack([preprocess(photograph) for photograph in photographs])


def _rgb(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
