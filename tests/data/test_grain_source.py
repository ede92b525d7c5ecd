import pickle

import numpy as np
import pytest

from tests.data.archives import png
from xattr.data import (
    GrainSource,
    Record,
    Refused,
    UnreadableImage,
    decode_image,
    pixels_of,
    read_image,
)

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def test_items_of_many_kinds_are_records():
    items = [
        PIXELS,
        png(9),
        {"image": PIXELS, "label": 3, "name": b"three"},
        {"image": png(9), "label": np.array("four"), "name": "a\nb"},
        {"picture": 0},
        Record("mine", "x", Refused("it is mine")),
    ]
    source = GrainSource(items)
    records = [source[index] for index in range(len(source))]
    assert [(record.name, record.label) for record in records] == [
        ("#0", ""),
        ("#1", ""),
        ("three", "3"),
        (r"a\nb", "four"),
        ("#4", ""),
        ("mine", "x"),
    ]
    for index in (0, 2):
        np.testing.assert_array_equal(pixels_of(records[index]), PIXELS)
    for index in (1, 3):
        assert pixels_of(records[index])[0, 0, 0] == 9
    with pytest.raises(UnreadableImage, match="it has no 'image', only 'picture'"):
        pixels_of(records[4])
    with pytest.raises(UnreadableImage, match="mine: it is mine"):
        pixels_of(records[5])


def test_keys_can_be_named():
    source = GrainSource(
        [{"x": PIXELS, "y": 1, "id": 7}], image="x", label="y", name="id"
    )
    assert source[0][:2] == ("7", "1")


@pytest.mark.parametrize("index", [2, -3])
def test_indices_outside_are_refused(index):
    with pytest.raises(IndexError, match=f"{index} is outside of 2 records"):
        GrainSource([PIXELS, PIXELS])[index]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (np.zeros((2, 2, 3), np.float32), "its pixels are float32 of shape"),
        (np.zeros((2, 2, 4), np.uint8), "is needed"),
        (np.zeros((0, 2, 3), np.uint8), "it has no pixels"),
        (np.zeros(3, np.uint8), "is needed"),
        (np.asarray(None), "its pixels are object"),
        (b"", "the file is empty"),
    ],
)
def test_pixels_that_are_none(content, reason):
    with pytest.raises(UnreadableImage, match=reason):
        pixels_of(Record("x", "", content))


def test_gray_is_repeated():
    gray = PIXELS[..., :1]
    for pixels in (gray, gray[..., 0]):
        expected = np.repeat(gray, 3, -1)
        np.testing.assert_array_equal(pixels_of(Record("", "", pixels)), expected)


def test_bytes_decode_as_files_do(tmp_path):
    (tmp_path / "x").write_bytes(png(5))
    np.testing.assert_array_equal(decode_image(png(5)), read_image(tmp_path / "x"))
    with pytest.raises(UnreadableImage, match="a.heic: HEIC is not read"):
        decode_image(b"ftyp", "a.heic")
    with pytest.raises(UnreadableImage, match="above the limit of 19"):
        decode_image(png(), max_pixels=19)


def test_fingerprints_see_order_length_and_sizes():
    items = [{"image": PIXELS, "name": name} for name in "abc"]
    digests = {
        GrainSource(chosen).fingerprint()
        for chosen in (
            items,
            items[::-1],
            items[:2],
            [],
            [*items[:2], {"image": PIXELS[:1], "name": "c"}],
        )
    }
    assert len(digests) == 5
    copy = pickle.loads(pickle.dumps(GrainSource(items)))
    assert copy.fingerprint() in digests
    assert copy.describe() == {
        "kind": "grain",
        "made_from": "builtins.list",
        "count": 3,
    }
