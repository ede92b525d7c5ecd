"""The photographs that a decoder is trained on, and those held out."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from xattr.data import (
    Source,
    SourceLost,
    UnreadableImage,
    find_images,
    open_source,
    pixels_of,
)
from xattr.decoder._state import Batch
from xattr.images import Preprocess, Stretch

NO_LABEL = -1


class Photographs:
    """Labelled photographs, split into those to train on and those held out.

    Args:
      places: files, folders, archives or `tfds:NAME/SPLIT`, as `open_source` takes
        them; or a source, such as a `GrainSource`.
      preprocess: what makes the network's image of a photograph.
      labels: "folders" for the name of the folder that a photograph lies in, None for
        no labels, or a CSV file with the columns `file` and `label`. A source and
        TFDS have their own.
      classes: names of the labels in the order of the network's outputs; the names
        that occur, sorted, by default.
      held_out: share of the photographs, or of the classes, that are not trained on.
      by: whether each "image" is drawn to be held out by itself, or each "class" as a
        whole.
      seed: decides the split.

    Attributes:
      classes: names of the labels.
      train: places in the source of those to train on.
      held_out: places in the source of those held out.
      skipped: what could not be read so far, with the reason.

    Raises:
      ValueError: if there is no image, a class folder is empty, a label is not among
        `classes`, or the split leaves nothing to train on.

    Notes:
      A photograph that can't be read is skipped: the next one of its part of the split
      that can be read takes its place, so that training neither ends nor changes the
      order of the others. Trouble of the machine (a disk, a network, a file that is
      gone) raises `SourceLost` instead: what was trained until then can be gone on
      with.
    """

    def __init__(
        self,
        places: Sequence[str] | Source,
        preprocess: Preprocess | Stretch,
        *,
        labels: str | None = "folders",
        classes: Sequence[str] | None = None,
        held_out: float = 0.2,
        by: Literal["image", "class"] = "image",
        seed: int = 0,
    ) -> None:
        if not 0 <= held_out < 1:
            raise ValueError(f"`held_out`={held_out} must be from 0 to below 1: 0.2.")
        if by not in ("image", "class"):
            raise ValueError(f"`by`={by!r} is none of image, class: `by='image'`.")
        self.source = _opened(places, labels)
        self.preprocess = preprocess
        names = [self.source[k].label for k in range(len(self.source))]
        if not names:
            raise ValueError("`places` holds no image.")
        self.classes = _classes(names, classes)
        numbers = {name: number for number, name in enumerate(self.classes)}
        self._labels = np.array([numbers.get(n, NO_LABEL) for n in names], np.int32)
        self.train, self.held_out = _split(self._labels, held_out, by, seed)
        self.skipped: dict[str, str] = {}

    def batches(self, batch_size: int, *, seed: int = 0, augment: bool = True) -> Any:
        """Batches to train on, without end: a grain `MapDataset` of `Batch`.

        Every photograph comes once in each round, in an order of its own. It is cut to
        a random part of half its area or more, of ratio 3:4 to 4:3 (shrunk until it
        fits), stretched to the network's image, and mirrored every other time.

        Args:
          batch_size: photographs of a batch.
          seed: of the orders and the cuts. The batch `k` depends on it and `k` alone.
          augment: whether photographs are cut and mirrored at random; else they are
            preprocessed as those held out.

        Raises:
          ValueError: if there are fewer photographs to train on than a batch takes.
        """
        import grain

        if not 1 <= batch_size <= len(self.train):
            raise ValueError(
                f"`batch_size`={batch_size}, but there are {len(self.train)} "
                "photographs to train on; a batch holds from one to all of them: "
                f"`batch_size={min(len(self.train), 32)}`."
            )
        transform = _Cut(self.preprocess) if augment else _Whole(self.preprocess)
        return (
            grain.MapDataset.source(_Readable(self, self.train))
            .seed(seed)
            .shuffle()
            .repeat()
            .random_map(transform)
            .batch(batch_size, batch_fn=_gathered)
        )

    def test(self, batch_size: int) -> Iterator[tuple[list[str], Batch]]:
        """The photographs held out, each once, by the network's own preprocessing.

        Yields:
          Their names, and a batch; the last may be smaller. What can't be read is left
          out, and listed in `skipped`.
        """
        names, rows = [], []
        for place in self.held_out:
            try:
                name, pixels, label = self._read(int(place))
            except UnreadableImage:
                continue
            names.append(name)
            rows.append((self.preprocess(pixels), label))
            if len(rows) == batch_size:
                yield names, _gathered(rows)
                names, rows = [], []
        if rows:
            yield names, _gathered(rows)

    def _read(self, place: int) -> tuple[str, np.ndarray, int]:
        """Name, pixels and label of a photograph."""
        record = self.source[place]
        try:
            return record.name, pixels_of(record), int(self._labels[place])
        except UnreadableImage as error:
            if error.trouble:
                raise SourceLost(record.name, record.label, error.trouble) from error
            self.skipped[record.name] = error.reason
            raise


class _Readable:
    """A part of the photographs as a grain source: pixels and label."""

    def __init__(self, photographs: Photographs, places: np.ndarray) -> None:
        self._photographs, self._places = photographs, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        """The photograph at `index`, or the next one that can be read."""
        last = None
        for step in range(len(self)):
            place = int(self._places[(index + step) % len(self)])
            try:
                return self._photographs._read(place)[1:]
            except UnreadableImage as error:
                last = error
        raise ValueError(
            f"None of the {len(self)} photographs to train on can be read; the last: "
            f"{last}."
        )


class _Whole:
    """A photograph as the network's own preprocessing has it."""

    def __init__(self, preprocess: Preprocess | Stretch) -> None:
        self._preprocess = preprocess

    def __call__(
        self, element: tuple[np.ndarray, int], rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "h w 3"], int]:
        del rng
        return self._preprocess(element[0]), element[1]


class _Cut:
    """A random part of a photograph, mirrored every other time."""

    def __init__(self, preprocess: Preprocess | Stretch) -> None:
        self._height, self._width, _ = preprocess.shape

    def __call__(
        self, element: tuple[np.ndarray, int], rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "h w 3"], int]:
        from PIL import Image

        pixels, label = element
        box = random_box(pixels.shape[1], pixels.shape[0], rng)
        picture = Image.fromarray(pixels).resize(
            (self._width, self._height), Image.Resampling.BILINEAR, box=box
        )
        image = np.asarray(picture, np.float32) / np.float32(255)
        return (image[:, ::-1] if rng.random() < 0.5 else image), label


def random_box(
    width: int, height: int, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """A part of half of a photograph's area or more, of ratio 3:4 to 4:3.

    Where such a part is wider or higher than the photograph, it is shrunk to fit.

    Returns:
      Left, top, right, bottom, in pixels.
    """
    area = rng.uniform(0.5, 1.0) * width * height
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    across, down = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fit = min(1.0, width / across, height / down)
    across, down = min(across * fit, width), min(down * fit, height)
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    right, bottom = min(left + across, width), min(top + down, height)
    return float(left), float(top), float(right), float(bottom)


def _gathered(rows: Sequence[tuple[Float[np.ndarray, "h w 3"], int]]) -> Batch:
    arrays: Any = [np.stack(column) for column in zip(*rows, strict=True)]
    return Batch(arrays[0], arrays[1].astype(np.int32))


def _opened(places: Sequence[str] | Source, labels: str | None) -> Source:
    """The source, and no class folder without a photograph."""
    if isinstance(places, Source):
        return places
    places = [os.fspath(place) for place in places]
    if any(place.startswith("tfds:") for place in places):
        return open_source(places)
    for place in places if labels == "folders" else ():
        for folder in sorted(Path(place).iterdir() if os.path.isdir(place) else ()):
            is_class = folder.is_dir() and not folder.name.startswith(".")
            if is_class and not find_images([folder]).paths:
                raise ValueError(
                    f"`places`: the class folder {folder.name!r} of {place} holds no "
                    "image that can be read. Fill it, or remove it."
                )
    return open_source(places, labels=labels)


def _classes(names: Sequence[str], classes: Sequence[str] | None) -> tuple[str, ...]:
    """The labels' names in their order."""
    found = sorted({name for name in names if name})
    if classes is None:
        return tuple(found)
    unknown = [name for name in found if name not in set(classes)]
    if unknown:
        raise ValueError(
            f"`classes` holds {len(classes)} names, and not {unknown[0]!r}, which "
            "photographs are labelled with. Rename the folder to one of them, such as "
            f"{classes[0]!r}, or leave `classes` out."
        )
    return tuple(classes)


def _split(
    labels: np.ndarray, share: float, by: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places to train on and places held out, each in their order."""
    units = labels if by == "class" else np.arange(len(labels))
    known = np.unique(units)
    # At least one where any is asked for: an empty part would measure nothing.
    count = max(round(share * len(known)), 1) if share else 0
    if count >= len(known):
        raise ValueError(
            f"`held_out`={share} by {by} leaves nothing to train on: there "
            f"{'is' if len(known) == 1 else 'are'} {len(known)}. Use `held_out=0`, or "
            "more photographs."
        )
    drawn = np.random.default_rng(seed).permutation(known)[:count]
    is_held_out = np.isin(units, drawn)
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
