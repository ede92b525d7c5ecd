"""Where the objects of photographs are, in the network's square."""

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from xattr.images import Preprocess
from xattr.metrics import boxes_to_masks

_COLUMNS = ("file", "width", "height", "x0", "y0", "x1", "y1")


class Annotated(NamedTuple):
    """What is known of a tile of records.

    Attributes:
      boxes: `x0 y0 x1 y1` in pixels of the square, all NaN where there is none.
      masks: which pixels show the object: a mask's, else those of the boxes.
      found: whether anything is known of a record.
    """

    boxes: Float[np.ndarray, "n m 4"]
    masks: Bool[np.ndarray, "n h w"]
    found: Bool[np.ndarray, " n"]


class Annotations:
    """Boxes from a table, masks from a folder; either may be absent.

    Args:
      boxes: CSV file with the columns `file`, `width` and `height` of the photograph in
        pixels, and `x0`, `y0`, `x1`, `y1`; a row per box.
      masks: folder of PNG files, named as the photographs but for their suffix, and as
        large; what is not black is the object. They go before boxes.

    Raises:
      ValueError: if the table or a mask cannot be read or a box has no area, or there
        is no such folder.
    """

    def __init__(self, boxes: Path | None = None, masks: Path | None = None) -> None:
        self._boxes = {} if boxes is None else _read_boxes(boxes)
        self._masks = {} if masks is None else _list_masks(masks)
        # So that one program serves all tiles.
        self._most = max((len(rows) for _, rows in self._boxes.values()), default=1)

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._boxes or self._masks)

    @property
    def num_boxed(self) -> int:
        """Photographs with a box."""
        return len(self._boxes)

    def identity(self) -> dict[str, Any]:
        """What decides values: a digest of the boxes, and of each mask's file."""
        return {
            "boxes": self.num_boxed,
            "masks": len(self._masks),
            "digest": self._digest,
        }

    @cached_property
    def _digest(self) -> str:
        found = hashlib.sha256()
        for name, (shape, rows) in sorted(self._boxes.items()):
            found.update(f"{name}{shape}{rows.tolist()}".encode())
        for name, path in sorted(self._masks.items()):
            found.update(name.encode() + path.read_bytes())
        return found.hexdigest()

    def of(self, files: Sequence[str], preprocess: Preprocess) -> Annotated:
        """What is known of some photographs, by the names of their files."""
        side = preprocess.size
        boxes = np.full((len(files), self._most, 4), np.nan, np.float32)
        masks: dict[int, np.ndarray] = {}
        for n, file in enumerate(files):
            if file in self._boxes:
                shape, rows = self._boxes[file]
                moved = preprocess.boxes(rows, shape)
                moved = moved[(moved[:, 2:] > moved[:, :2]).all(1)]
                boxes[n, : len(moved)] = moved
            if (path := self._masks.get(_stem(file))) is not None:
                masks[n] = _mask(path, preprocess)
        shown = np.array(boxes_to_masks(jnp.asarray(boxes), (side, side)))
        for n, mask in masks.items():
            shown[n] = mask
        return Annotated(boxes, shown, np.asarray(shown.any((1, 2))))

    def check(self, files: Iterable[str]) -> None:
        """Raise if none of some photographs' names is known.

        Raises:
          ValueError: if so, with a name of each side.
        """
        known, first = {*self._boxes, *self._masks}, ""
        # To the first that is known: in an archive a name costs its photograph.
        for name in files:
            if known & {name, _stem(name)}:
                return
            first = first or name
        if known:
            raise ValueError(
                f"`boxes` and `masks` name none of the photographs: they have names "
                f"such as {min(known)!r}, the photographs such as {first!r}."
            )


def _stem(file: str) -> str:
    return os.path.splitext(file)[0]


def _read_boxes(path: Path) -> Mapping[str, tuple[tuple[int, int], np.ndarray]]:
    """Size of each photograph, and its boxes."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [c for c in _COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"`boxes` {path} has no column {', '.join(missing)}; its first "
                    f"line must name {','.join(_COLUMNS)}."
                )
            table = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"`boxes` {path} cannot be read ({error}).") from error
    if not table:
        raise ValueError(f"`boxes` {path} holds no box: give a row for each.")
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    shapes: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(table, 2):
        try:
            box = [float(row[c]) for c in _COLUMNS[3:]]
            shape = int(row["height"]), int(row["width"])
        except (TypeError, ValueError):
            raise ValueError(
                f"`boxes` {path}, line {number}: {', '.join(_COLUMNS[3:])} must be "
                f"numbers, and width and height whole ones, got {list(row.values())}."
            ) from None
        if not (box[0] < box[2] and box[1] < box[3] and min(shape) > 0):
            raise ValueError(
                f"`boxes` {path}, line {number}: the box {box} has no area. Boxes are "
                f"x0,y0,x1,y1 with x0 < x1 and y0 < y1, in pixels."
            )
        if shapes.setdefault(row["file"], shape) != shape:
            raise ValueError(
                f"`boxes` {path}, line {number}: {row['file']} has two sizes."
            )
        boxes[row["file"]].append(box)
    return {name: (shapes[name], np.array(rows)) for name, rows in boxes.items()}


def _list_masks(folder: Path) -> Mapping[str, Path]:
    """Mask files by the name of the photograph without its suffix."""
    if not folder.is_dir():
        raise ValueError(f"`masks` {folder} is no folder.")
    files = sorted(folder.rglob("*.png"))
    if not files:
        raise ValueError(f"`masks` {folder} holds no PNG file.")
    for path in files:
        _check_mask(path)
    return {_stem(path.relative_to(folder).as_posix()): path for path in files}


def _check_mask(path: Path) -> None:
    """Raise if a mask is no whole image, which its checksums tell."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.verify()
    # Pillow says of damaged files that their syntax is wrong.
    except (OSError, SyntaxError) as error:
        raise ValueError(f"`masks`: {path} cannot be read ({error}).") from None


def _mask(path: Path, preprocess: Preprocess) -> Bool[np.ndarray, "h w"]:
    """A mask as the network sees the photograph."""
    from PIL import Image

    with Image.open(path) as image:
        # Indices of a palette are no colors, nor is opacity beside a gray.
        indirect = image.mode in ("P", "PA", "LA")
        values = np.asarray(image.convert("RGB") if indirect else image)
    shown = values.reshape(*values.shape[:2], -1)[..., :3].any(-1)
    whole = np.stack([shown.astype(np.uint8) * 255] * 3, -1)
    return preprocess.pixels(whole)[..., 0] > 127
