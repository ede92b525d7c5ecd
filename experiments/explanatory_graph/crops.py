"""Crops of animals, where their parts are, and photographs of other things."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xattr import models
from xattr.images import Preprocess, Stretch

BATCH = 20

# Cats and dogs in the package's own photographs: left, top, right and bottom,
# as shares of the photograph.
PETS = (
    ("cat.jpg", (0.09, 0.1, 0.7, 1.0)),
    ("cat_dog.png", (0.35, 0.05, 0.74, 0.64)),
    ("cat_dog.png", (0.2, 0.53, 0.9, 1.0)),
    ("chelsea.png", (0.0, 0.0, 1.0, 1.0)),
    ("doberman.png", (0.26, 0.17, 0.91, 1.0)),
)


@dataclass(frozen=True)
class Crops:
    """Crops of animals and where their parts are.

    Attributes:
      images: of the network's size.
      landmarks: (row, column) shares of all parts, NaN where invisible.
      parts: their names.
    """

    images: np.ndarray
    landmarks: np.ndarray
    parts: list[str]

    def of(self, names: Sequence[str]) -> np.ndarray:
        """Landmarks of some parts."""
        return self.landmarks[:, [self.parts.index(name) for name in names]]


@dataclass(frozen=True)
class DataSet:
    """Photographs, and what is asked of them.

    Attributes:
      crops: reads them from the data pack.
      measured: parts from which distances are measured.
      located: parts that a few annotations are to locate.
    """

    crops: Callable[[Path, int], Crops]
    measured: tuple[str, ...]
    located: tuple[str, ...]


def archive(file: Path, names: Sequence[str]) -> Iterator[np.ndarray]:
    """Photographs of a tar file."""
    with tarfile.open(file) as members:
        for name in names:
            content = members.extractfile(name)
            assert content is not None
            image = Image.open(io.BytesIO(content.read()))
            yield np.asarray(image.convert("RGB"))


def birds(data: Path, side: int) -> Crops:
    """The crops, stretched to the network's square."""
    known = json.loads((data / "cub_parts" / "annotations.json").read_text())
    stretch = Stretch(height=side, width=side)
    files = [about["file"] for about in known["images"]]
    found = archive(data / "cub_parts" / "images.tar", files)
    images = np.stack([stretch.pixels(image) for image in found])
    marks = np.array([about["landmarks"] for about in known["images"]], float)
    places = marks[..., 1::-1] / 227
    seen = (marks[..., 2] > 0) & ((places >= 0) & (places <= 1)).all(-1)
    places[~seen] = np.nan
    return Crops(images, places, known["parts"])


def animals(data: Path, side: int, *, least: float = 50) -> Crops:
    """Boxes of animals, stretched likewise; their landmarks are the middles of parts.

    The source names the head; the other part is, by eye, the fore-limbs. Animals of
    fewer than `least` pixels in height or width are left out, as published.
    """
    known = json.loads((data / "animal_boxes" / "annotations.json").read_text())
    stretch = Stretch(height=side, width=side)
    files = [about["file"] for about in known["images"]]
    found = archive(data / "animal_boxes" / "images.tar", files)
    images, landmarks = [], []
    for image, about in zip(found, known["images"], strict=True):
        for marked in about["objects"]:
            box = np.round(marked["box"]).astype(int)
            corner, size = box[:2], box[2:] - box[:2]
            if size.min() < least:
                continue
            crop = image[box[1] : box[3], box[0] : box[2]]
            images.append(stretch.pixels(crop))
            place = np.full((2, 2), np.nan)
            for k, part in enumerate(("head", "part02")):
                if part in marked["parts"]:
                    ends = np.array(marked["parts"][part]).reshape(2, 2)
                    place[k] = ((ends.mean(0) - corner) / size)[::-1]
            landmarks.append(place)
    places = np.array(landmarks)
    places[~((places >= 0) & (places <= 1)).all(-1)] = np.nan
    return Crops(np.stack(images), places, ["head", "fore-limbs"])


def pets(side: int) -> np.ndarray:
    """The package's own photographs of animals, whose licences let them be shown."""
    files = {file.name: file for file in models.photographs()}
    stretch = Stretch(height=side, width=side)
    found = []
    for name, shares in PETS:
        image = np.asarray(Image.open(files[name]).convert("RGB"))
        height, width = image.shape[:2]
        left, top, right, bottom = np.multiply(shares, (width, height) * 2).astype(int)
        found.append(stretch.pixels(image[top:bottom, left:right]))
    return np.stack(found)


DATA_SETS = {
    "birds": DataSet(
        birds,
        ("forehead", "back", "tail"),
        ("forehead", "back", "tail", "belly", "beak"),
    ),
    "animals": DataSet(animals, ("head", "fore-limbs"), ("head", "fore-limbs")),
}


def others(data: Path, side: int) -> Iterator[np.ndarray]:
    """Photographs of one thing each of 800 classes, some of them birds."""
    known = json.loads((data / "imagenet_sample" / "labels.json").read_text())
    files = [about["file"] for about in known["images"]]
    cut = Preprocess(size=side, resize=side * 8 // 7)
    for image in archive(data / "imagenet_sample" / "images.tar", files):
        yield cut.pixels(image)


def batched(images: Any) -> Iterator[np.ndarray]:
    """As the network takes them."""
    batch = []
    for image in images:
        batch.append(image.astype(np.float32) / 255)
        if len(batch) == BATCH:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)
