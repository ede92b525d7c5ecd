"""CIFAR-10 photographs, and the batches of them."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import grain
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from xattr.decoder import Batch

SIZE, BORDER = 32, 4


class Photographs(NamedTuple):
    """Photographs in bytes, and their classes."""

    pixels: UInt8[np.ndarray, "n h w 3"]
    labels: Int[np.ndarray, " n"]

    def images(self) -> Float[np.ndarray, "n h w 3"]:
        """RGB from 0 to 1."""
        return self.pixels.astype(np.float32) / np.float32(255)


def read(folder: Path) -> tuple[Photographs, Photographs, list[str]]:
    """Those to train on, those to test on, and the names of the classes."""
    classes = json.loads((folder / "cifar10.json").read_text())["classes"]
    found: dict[str, tuple[list, list]] = {"train": ([], []), "test": ([], [])}
    with tarfile.open(folder / "images.tar") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            part, name, _ = member.name.split("/")
            with Image.open(io.BytesIO(file.read())) as image:
                found[part][0].append(np.asarray(image.convert("RGB")))
            found[part][1].append(classes.index(name))
    train, test = (
        Photographs(np.stack(pixels), np.array(labels, np.int32))
        for pixels, labels in (found["train"], found["test"])
    )
    return train, test, classes


def batches(train: Photographs, batch_size: int, *, seed: int) -> Any:
    """Shuffled in each round, mirrored every other time and shifted; without end."""
    rows = list(zip(train.pixels, train.labels, strict=True))
    return (
        grain.MapDataset.source(rows)
        .seed(seed)
        .shuffle()
        .repeat()
        .random_map(_Shifted())
        .batch(batch_size, batch_fn=_gathered)
    )


class _Shifted:
    """Up to four pixels to any side, where grey comes in; every other one mirrored."""

    def __call__(
        self, element: tuple[np.ndarray, int], rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "h w 3"], int]:
        pixels, label = element
        sides = ((BORDER, BORDER), (BORDER, BORDER), (0, 0))
        wide = np.pad(pixels, sides, constant_values=128)
        top, left = rng.integers(0, 2 * BORDER + 1, 2)
        image = wide[top : top + SIZE, left : left + SIZE].astype(np.float32) / 255
        return (image[:, ::-1] if rng.random() < 0.5 else image), label


def _gathered(rows: Any) -> Batch:
    images, labels = zip(*rows, strict=True)
    arrays: Any = np.stack(images).astype(np.float32), np.array(labels, np.int32)
    return Batch(*arrays)
