"""Photographs on disk as batches: the same ones for the same seed, and no surprises."""

import numpy as np
import pytest
from PIL import Image

from xattr.data import GrainSource, SourceLost
from xattr.decoder._photographs import NO_LABEL, Photographs, random_box
from xattr.images import Preprocess

SQUARE = Preprocess(size=8, resize=10)


def write(folder, name, value, shape=(12, 15)):
    """A photograph of one value."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*shape, 3), value, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Three classes; the value of a photograph is its own, its ten its class."""
    root = tmp_path / "photos"
    for number, name in enumerate(["cat", "dog", "eel"]):
        for index in range(4):
            value = 100 + 10 * number + index
            write(root, f"{name}/{index}.png", value, (9 + 7 * index, 30 - 8 * index))
    return root


def values(batch):
    """Which photographs a batch has: each is of one value."""
    return np.rint(batch.images[:, 0, 0, 0] * 255).astype(int).tolist()


def test_every_photograph_once_a_round_with_its_label(folder):
    data = Photographs([str(folder)], SQUARE, held_out=0)
    batches = data.batches(4, seed=3)
    rounds = [sum((values(batches[3 * r + k]) for k in range(3)), []) for r in (0, 1)]
    assert all(
        sorted(found) == [100, 101, 102, 103, *range(110, 114), *range(120, 124)]
        for found in rounds
    )
    assert rounds[0] != rounds[1]
    batch = batches[0]
    assert batch.images.shape == (4, 8, 8, 3)
    assert batch.images.dtype == np.float32
    assert data.classes == ("cat", "dog", "eel")
    assert batch.labels.tolist() == [(v - 100) // 10 for v in values(batch)]


def test_a_batch_depends_on_the_seed_and_its_number_alone(tmp_path):
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 255, (20, 30, 3), np.uint8) for _ in range(6)]

    def batch(seed, number):
        data = Photographs(GrainSource(pixels), SQUARE, held_out=0)
        return data.batches(4, seed=seed)[number].images

    first = Photographs(GrainSource(pixels), SQUARE, held_out=0).batches(4, seed=1)
    inorder = [first[k].images for k in range(4)]
    np.testing.assert_array_equal(inorder[3], batch(1, 3))
    ahead = iter(first[2:].to_iter_dataset())
    np.testing.assert_array_equal(next(ahead).images, inorder[2])
    ahead.close()
    assert (batch(2, 3) != inorder[3]).any()
    assert (inorder[0] != inorder[3]).any()


def test_without_augmentation_it_is_the_networks_own_preprocessing():
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    data = Photographs(GrainSource([pixels]), SQUARE, held_out=0)
    (image,) = data.batches(1, augment=False)[0].images
    np.testing.assert_array_equal(image, SQUARE(pixels))


def test_cuts_are_mirrored_every_other_time():
    ramp = np.broadcast_to(
        np.arange(0, 240, 8).astype(np.uint8)[None, :, None], (20, 30, 3)
    )
    data = Photographs(GrainSource([np.ascontiguousarray(ramp)]), SQUARE, held_out=0)
    batches = data.batches(1)
    rises = [np.diff(batches[k].images[0, 0, [0, -1], 0])[0] > 0 for k in range(60)]
    assert 18 < sum(rises) < 42


@pytest.mark.parametrize("size", [(640, 480), (1, 1), (1000, 3), (7, 50)])
def test_boxes_are_large_inside_and_of_ratio_3_4_to_4_3(size):
    width, height = size
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(width, height, rng) for _ in range(200)])
    across, down = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert boxes.min() >= 0
    assert (boxes[:, 2] <= width).all()
    assert (boxes[:, 3] <= height).all()
    assert (0.7499 < across / down).all()
    assert (across / down < 1.3334).all()
    if size == (640, 480):
        area = across * down / (width * height)
        # The widest box fits at 3/4 of its area: 4:3 is the photograph's ratio.
        assert area.min() > 0.5 * 9 / 16
        assert area.max() > 0.9


def test_the_split_is_of_images_or_of_classes(folder):
    one = Photographs([str(folder)], SQUARE, held_out=0.25, seed=1)
    same = Photographs([str(folder)], SQUARE, held_out=0.25, seed=1)
    other = Photographs([str(folder)], SQUARE, held_out=0.25, seed=2)
    assert len(one.held_out) == 3
    assert sorted([*one.train, *one.held_out]) == list(range(12))
    assert one.held_out.tolist() == same.held_out.tolist() != other.held_out.tolist()
    whole = Photographs([str(folder)], SQUARE, held_out=0.3, by="class", seed=1)
    (start, *rest) = whole.held_out.tolist()
    assert start % 4 == 0
    assert rest == [start + 1, start + 2, start + 3]


def test_held_out_photographs_come_once_in_order_as_the_network_takes_them(folder):
    data = Photographs([str(folder)], SQUARE, held_out=0.5)
    parts = list(data.test(4))
    names = [name for found, _ in parts for name in found]
    assert names == [data.source[int(k)].name for k in data.held_out]
    assert [len(batch.labels) for _, batch in parts] == [4, 2]
    first = 100 + 10 * (data.held_out[0] // 4) + data.held_out[0] % 4
    assert values(parts[0][1])[0] == first


def test_what_cannot_be_read_is_skipped_and_listed(folder):
    (folder / "cat/1.png").write_bytes(b"no image")
    data = Photographs([str(folder)], SQUARE, held_out=0)
    found = sorted(sum((values(data.batches(4)[k]) for k in range(3)), []))
    # The next one comes in its place.
    assert found == [100, 102, 102, 103, *range(110, 114), *range(120, 124)]
    assert list(data.skipped) == ["cat/1.png"]
    (folder / "cat/2.png").unlink()
    with pytest.raises(SourceLost, match="cat/2.png"):
        [data.batches(4)[k] for k in range(3)]


def test_nothing_can_be_read(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"no image")
    data = Photographs([str(tmp_path)], SQUARE, labels=None, held_out=0)
    with pytest.raises(ValueError, match="None of the 2 photographs to train on"):
        data.batches(2)[0]


def test_without_labels(folder):
    data = Photographs([str(folder)], SQUARE, labels=None, held_out=0)
    assert set(data.batches(12)[0].labels.tolist()) == {NO_LABEL}
    assert data.classes == ()


def test_labels_of_the_network(folder):
    names = ["cow", "eel", "dog", "cat"]
    data = Photographs([str(folder)], SQUARE, classes=names, held_out=0)
    batch = data.batches(12)[0]
    numbers = dict(zip(values(batch), batch.labels.tolist(), strict=True))
    assert (numbers[100], numbers[110], numbers[120]) == (3, 2, 1)
    with pytest.raises(ValueError, match="and not 'eel'"):
        Photographs([str(folder)], SQUARE, classes=["cat", "dog"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": 1.0}, "`held_out`=1.0"),
        ({"by": "folder"}, "`by`='folder'"),
        ({"held_out": 0.99}, "leaves nothing to train on"),
        ({"held_out": 0.9, "by": "class"}, "leaves nothing to train on"),
    ],
)
def test_wrong_splits(folder, options, message):
    with pytest.raises(ValueError, match=message):
        Photographs([str(folder)], SQUARE, **options)


def test_an_empty_class_folder_is_named(folder):
    (folder / "fly").mkdir()
    (folder / "fly/notes.txt").write_text("none")
    with pytest.raises(ValueError, match="the class folder 'fly'"):
        Photographs([str(folder)], SQUARE)


def test_no_image_and_too_few(folder, tmp_path):
    with pytest.raises(ValueError, match="holds no image"):
        Photographs([str(tmp_path / "nowhere")], SQUARE)
    data = Photographs([str(folder)], SQUARE, held_out=0)
    with pytest.raises(ValueError, match="there are 12 photographs to train on"):
        data.batches(13)
