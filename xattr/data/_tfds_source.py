"""A data set that TFDS has prepared."""

import os
from typing import Any

from xattr.data._fingerprint import digest
from xattr.data._grain_source import as_record
from xattr.data._record import Record


class TFDSSource:
    """A split of a data set of TensorFlow Datasets, without TensorFlow.

    The files that TFDS has written are read at random; images come encoded and are
    decoded as any other. Nothing is downloaded.

    Args:
      name: such as "mnist", "imagenet2012:5.1.0" or "name/config".
      split: such as "train" or "test[:10%]".
      data_dir: the folder that holds TFDS's data sets; its own default if None.

    Raises:
      ImportError: if TFDS is not installed.
      ValueError: if the data set is not there in a format for random access, has no
        such split, or has no feature "image".
    """

    def __init__(
        self,
        name: str,
        split: str = "train",
        data_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self._name, self._split = name, split
        self._data_dir = None if data_dir is None else os.path.abspath(data_dir)
        self._open()

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self._examples)

    def __getitem__(self, index: int) -> Record:
        """The example at `index`, its image not decoded."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"{index} is outside of {len(self)} records")
        example = dict(self._examples[index])
        if self._classes is not None and "label" in example:
            number = int(example["label"])
            known = 0 <= number < len(self._classes)
            example["label"] = self._classes[number] if known else ""
        name = f"{self._name}/{self._split}#{index}"
        return as_record(example, name, "image", "label", "file_name")

    def __getstate__(self) -> tuple[str, str, str | None]:
        """What it takes to open the split again in another process."""
        return self._name, self._split, self._data_dir

    def __setstate__(self, state: tuple[str, str, str | None]) -> None:
        self._name, self._split, self._data_dir = state
        self._open()

    def describe(self) -> dict[str, Any]:
        """The data set with its version, the split and the number of examples."""
        return {
            "kind": "tfds",
            "name": self._full_name,
            "split": self._split,
            "count": len(self),
        }

    def fingerprint(self) -> str:
        """SHA-256 over the version, the split, its shards' lengths and its bytes."""
        shards = ((f"shard {k}", "", size) for k, size in enumerate(self._shards))
        whole = (f"{self._full_name}/{self._split}", "", len(self))
        return digest([whole, ("bytes", "", self._num_bytes), *shards])

    def _open(self) -> None:
        """Find the files and read what is known of them."""
        tfds, builder = _builder(self._name, self._data_dir)
        features = dict(getattr(builder.info.features, "items", dict)())
        if "image" not in features:
            raise ValueError(
                f"The data set {self._name!r} has no feature 'image', only "
                f"{', '.join(map(repr, features)) or 'features without names'}."
            )
        is_encoded = isinstance(features["image"], tfds.features.Image)
        decoders = {"image": tfds.decode.SkipDecoding()} if is_encoded else None
        try:
            self._examples = builder.as_data_source(
                split=self._split, decoders=decoders
            )
        except (ValueError, NotImplementedError) as error:
            raise ValueError(
                f"The split {self._split!r} of {self._name!r} cannot be read at "
                f"random ({error}). Its splits: {', '.join(builder.info.splits)}; "
                "prepare it with `file_format='array_record'`."
            ) from error
        info = builder.info.splits[self._split]
        self._full_name = builder.info.full_name
        self._shards, self._num_bytes = list(info.shard_lengths), int(info.num_bytes)
        label: Any = features.get("label")
        self._classes = None
        if isinstance(label, tfds.features.ClassLabel):
            self._classes = list(label.names or ())


def _builder(name: str, data_dir: str | None) -> tuple[Any, Any]:
    """TFDS, and the data set as it lies in its files; no code of it is run."""
    try:
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core import read_only_builder
    except ImportError as error:
        raise ImportError(
            "Data sets of TFDS need tensorflow-datasets: "
            "`pip install 'xattr-jax[tfds]'`."
        ) from error
    try:
        return tfds, read_only_builder.builder_from_files(name, data_dir=data_dir)
    except (ValueError, OSError) as error:
        where = data_dir or "TFDS's own folder"
        raise ValueError(
            f"The data set {name!r} is not prepared in {where}, and nothing is "
            f"downloaded here. Prepare it first: `tfds.builder({name!r}, data_dir=..., "
            "file_format='array_record').download_and_prepare()`."
        ) from error
