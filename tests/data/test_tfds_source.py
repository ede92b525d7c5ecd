"""Data sets as TFDS's own builders write them, read without TensorFlow."""

import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

from tests.data.archives import png
from xattr.data import TFDSSource, load_tiles, open_source, pixels_of

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record")


class Tiny(tfds.core.GeneratorBasedBuilder):
    """Five grays in two classes, one of the five without a class."""

    VERSION = tfds.core.Version("1.2.0")
    code_path = None  # no files beside the code
    FEATURES = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=["cat", "dog"]),
    }

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(self.FEATURES)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for value in range(5):
            yield value, self.example(value)

    def example(self, value):
        return {"image": io.BytesIO(png(value)), "label": value % 3 - 1}


class Digits(Tiny):
    """Pixels of one channel as a plain array, and numbers for labels."""

    FEATURES = {
        "image": tfds.features.Tensor(shape=(4, 5, 1), dtype=np.uint8),
        "label": tfds.features.Scalar(np.int64),
    }

    def example(self, value):
        return {"image": np.full((4, 5, 1), value, np.uint8), "label": value}


class Texts(Tiny):
    """No image."""

    FEATURES = {"text": tfds.features.Text()}

    def example(self, value):
        return {"text": str(value)}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for kind in (Tiny, Digits, Texts):
        builder = kind(data_dir=folder, file_format="array_record")
        builder.download_and_prepare()
    return folder


def test_examples_are_records(data_dir):
    source = TFDSSource("tiny", "train", data_dir)
    assert len(source) == 5
    records = [source[index] for index in range(5)]
    assert [record.name for record in records] == [f"tiny/train#{k}" for k in range(5)]
    values = [int(pixels_of(record)[0, 0, 0]) for record in records]
    assert sorted(values) == [0, 1, 2, 3, 4]
    expected = [["", "cat", "dog"][value % 3] for value in values]
    assert [record.label for record in records] == expected
    assert pixels_of(records[0]).shape == (4, 5, 3)
    with pytest.raises(IndexError, match="5 is outside of 5 records"):
        source[5]


def test_arrays_and_numbers(data_dir):
    source = TFDSSource("digits", "train", data_dir)
    for index in range(5):
        pixels = pixels_of(source[index])
        assert pixels.shape == (4, 5, 3)
        assert source[index].label == str(pixels[0, 0, 0])


def test_tiles_of_it_are_the_same_in_workers(data_dir):
    source = TFDSSource("tiny:1.2.0", "train[1:]", data_dir)
    tiles = [
        [
            (tile.images.tolist(), tile.records)
            for tile in load_tiles(
                source,
                [0, 1],
                tile_size=3,
                size=4,
                transform=top_left,
                num_workers=workers,
            )
        ]
        for workers in (0, 1)
    ]
    assert tiles[0] == tiles[1]
    assert [slot.reason for _, records in tiles[0] for slot in records] == [""] * 4


def top_left(image):
    return image[:4, :4]


def test_what_it_was_made_from_travels(data_dir):
    source = TFDSSource("tiny", "train", data_dir)
    copy = pickle.loads(pickle.dumps(source))
    assert copy[3] == source[3]
    assert copy.fingerprint() == source.fingerprint()
    assert copy.describe() == {
        "kind": "tfds",
        "name": "tiny/1.2.0",
        "split": "train",
        "count": 5,
    }
    part = TFDSSource("tiny", "train[:3]", data_dir)
    assert part.fingerprint() != source.fingerprint()


def test_the_default_folder_is_that_of_tfds(data_dir):
    script = (
        "import sys; from xattr.data import open_source; "
        "s = open_source(['tfds:tiny/train[:2]']); s[0]; "
        "print(len(s), 'tensorflow' in sys.modules, 'jax.extend' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={"TFDS_DATA_DIR": str(data_dir), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert (done.stdout.split()[:2], done.stderr) == (["2", "False"], "")


def test_what_cannot_be_read_is_told(data_dir):
    with pytest.raises(ValueError, match="'nope' is not prepared in .*download"):
        TFDSSource("nope", "train", data_dir)
    with pytest.raises(ValueError, match="'a b' is not prepared"):
        TFDSSource("a b", "train", data_dir)
    with pytest.raises(ValueError, match="'test' of 'tiny' cannot.*splits: train;"):
        TFDSSource("tiny", "test", data_dir)
    with pytest.raises(ValueError, match="no feature 'image', only 'text'"):
        TFDSSource("texts", "train", data_dir)


def test_a_format_without_random_access_is_told(data_dir, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(data_dir / "tiny", tmp_path / "tiny")
    info = folder / "1.2.0" / "dataset_info.json"
    settings = json.loads(info.read_text()) | {"fileFormat": "tfrecord"}
    info.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="file_format='array_record'"):
        TFDSSource("tiny", "train", tmp_path)


def test_without_tfds_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'xattr-jax\[tfds\]'"):
        open_source(["tfds:mnist/train"])
