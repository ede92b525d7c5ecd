"""Trouble of the machine ends a stream; damage of a record is a reason."""

import errno
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.apart import apart
from tests.data.archives import png, tar, zipped
from xattr.data import (
    ArchiveSource,
    FileSource,
    GrainSource,
    Record,
    Refused,
    Source,
    SourceLost,
    UnreadableImage,
    _read,
    _read_slot,
    load_tiles,
    pixels_of,
    read_image,
)
from xattr.data._trouble import trouble_of

PIXELS = np.ones((4, 5, 3), np.uint8)
NUMBERS = "EIO ESTALE ENOTCONN EMFILE ENFILE ENOMEM ETIMEDOUT ENODEV EHOSTDOWN".split()


class Failing:
    """Four records of which the third raises, for some attempts or for all.

    From then on the others raise as well, unless it is alone. Records are read by
    several threads, in any order: so that what comes out is always the same, the third
    waits for those before it, and those after for its first attempt.
    """

    def __init__(
        self, error: Exception, attempts: int = 99, alone: bool = False
    ) -> None:
        self.error, self.attempts, self.alone = error, attempts, alone
        self.seen: set[int] = set()

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> np.ndarray:
        while not self.seen.issuperset(range(min(index, 3))):
            time.sleep(0.001)
        begun = 2 in self.seen or index == 2
        self.seen.add(index)
        if begun and self.attempts and (index == 2 or not self.alone):
            self.attempts -= index == 2
            raise self.error
        return PIXELS


def same(image: np.ndarray) -> np.ndarray:
    return image[:3, :3]


def stream(source: Source, **options: Any):
    chosen = {"tile_size": 2, "size": 3, "transform": same} | options
    return load_tiles(source, range(-(-len(source) // 2)), **chosen)


def reasons(source: Source, **options: Any) -> list[str]:
    return [slot.reason for tile in stream(source, **options) for slot in tile.records]


def fill(folder: Path, count: int = 4) -> Path:
    folder.mkdir()
    for value in range(count):
        (folder / f"{value}.png").write_bytes(png(value))
    return folder


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(_read_slot, "_PAUSES", (0, 0))


@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_trouble(name):
    number = getattr(errno, name)
    assert trouble_of(OSError(number, "text", "/secret")) == os.strerror(number)


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (MemoryError(), errno.ENOMEM),
        (FileNotFoundError("no x"), errno.ENOENT),
        (TimeoutError("slow"), errno.ETIMEDOUT),
        (ConnectionResetError(), errno.ECONNRESET),
        (NotADirectoryError(errno.ENOTDIR, "x"), errno.ENOTDIR),
    ],
)
def test_kinds_of_trouble(error, number):
    assert trouble_of(error) == os.strerror(number)


@pytest.mark.parametrize(
    "error",
    [
        OSError("the disk is gone"),
        PermissionError(errno.EACCES, "no"),
        OSError(errno.EINVAL, "no"),
        OSError(errno.ELOOP, "no"),
        ValueError(errno.EIO),
    ],
)
def test_what_is_no_trouble(error, impatient):
    assert trouble_of(error) == ""
    told = reasons(GrainSource(Failing(error, alone=True)))
    assert [bool(reason) for reason in told] == [False, False, True, False]


@pytest.mark.parametrize("num_workers", [0, apart(1)])
def test_the_stream_ends_where_the_trouble_is(num_workers):
    error = OSError(errno.ESTALE, "odd", "/home/me/x.png")
    tiles = stream(GrainSource(Failing(error)), num_workers=num_workers)
    assert [slot.reason for slot in next(tiles).records] == ["", ""]
    with pytest.raises(SourceLost) as caught:
        next(tiles)
    message = str(caught.value)
    assert f"'#2' failed ({os.strerror(errno.ESTALE)})" in message
    assert "the run can be gone on with" in message
    assert "/home" not in message
    assert isinstance(caught.value, OSError)
    assert list(tiles) == []


def test_what_was_lost_can_be_told_to_another_process():
    lost = SourceLost("a.png", "cat", "odd")
    again = pickle.loads(pickle.dumps(lost))
    assert (again.name, again.label, again.trouble) == ("a.png", "cat", "odd")
    assert str(again) == str(lost)


def test_trouble_with_one_record_alone_is_a_reason(impatient):
    source = GrainSource(Failing(OSError(errno.EIO, "odd"), alone=True))
    assert reasons(source) == [
        "",
        "",
        f"reading it failed ({os.strerror(errno.EIO)})",
        "",
    ]


def test_a_file_that_is_gone_alone_is_a_reason(tmp_path, impatient):
    source = FileSource([fill(tmp_path / "photos")])
    (tmp_path / "photos/2.png").unlink()
    slots = [slot for tile in stream(source) for slot in tile.records]
    assert slots[2].name == "2.png"
    assert slots[2].reason == f"reading it failed ({os.strerror(errno.ENOENT)})"
    assert [bool(slot.reason) for slot in slots] == [False, False, True, False]


@pytest.mark.parametrize(("attempts", "is_lost"), [(2, False), (99, True)])
def test_trouble_that_passes_is_none(attempts, is_lost, impatient):
    # What passes is of one record: others would be out of attempts before it is.
    source = GrainSource(Failing(MemoryError(), attempts, alone=not is_lost))
    if is_lost:
        with pytest.raises(SourceLost, match=os.strerror(errno.ENOMEM)):
            reasons(source)
    else:
        assert reasons(source) == [""] * 4


def test_trouble_while_preprocessing(impatient):
    def starve(image):
        raise MemoryError

    with pytest.raises(SourceLost, match="'#0' failed"):
        reasons(GrainSource([PIXELS] * 4), transform=starve)


@pytest.mark.parametrize(
    ("kind", "num_workers"),
    [
        ("files", 0),
        ("files", 1),
        ("tar", 0),
        ("zip", 0),
        apart("tar", 1),
        apart("zip", 1),
    ],
)
def test_what_goes_away_is_missed(tmp_path, kind, num_workers):
    folder = fill(tmp_path / "photos")
    place = folder
    members = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    if kind != "files":
        make: Any = {"tar": tar, "zip": zipped}[kind]
        place = make(tmp_path / f"x.{kind}", members)
    source = ArchiveSource([place]) if kind != "files" else FileSource([place])
    place.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceLost, match=os.strerror(errno.ENOENT)) as caught:
        reasons(source, num_workers=num_workers)
    assert "'0.png'" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_link_that_leads_nowhere_is_a_reason(tmp_path):
    folder = fill(tmp_path / "photos", 1)
    (folder / "1.png").symlink_to("nothing")
    (folder / "2.png").symlink_to("2.png")
    told = reasons(FileSource([folder]))
    assert told[:2] == ["", "there is no such file"]
    assert told[2].startswith("it cannot be opened (")


def test_no_reason_names_a_path_of_this_machine(tmp_path, monkeypatch):
    path = tar(tmp_path / "x.tar", {"a.png": png()})
    source = ArchiveSource([path])

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    why = Refused("the archive cannot be read (Permission denied)")
    assert source[0] == Record("a.png", "", why)
    error = PermissionError(errno.EACCES, "Permission denied", str(path))
    expected = "reading it failed (PermissionError: Permission denied)"
    assert reasons(GrainSource(Failing(error)))[2] == expected


@pytest.mark.parametrize(
    ("number", "trouble"), [(errno.EIO, os.strerror(errno.EIO)), (errno.EACCES, "")]
)
def test_images_tell_trouble_apart(tmp_path, monkeypatch, number, trouble):
    (tmp_path / "a.png").write_bytes(png())

    def refuse(*_):
        raise OSError(number, "no")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnreadableImage) as caught:
        read_image(tmp_path / "a.png")
    assert caught.value.trouble == trouble
    assert pickle.loads(pickle.dumps(caught.value)).trouble == trouble


def test_trouble_that_a_decoder_takes_for_damage(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(png())
    opened: list[Any] = []

    class Failed:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, size: int):
            raise OSError(errno.EIO, "no")

    def open_(self, mode):
        opened.append(mode)
        return open(self, mode) if len(opened) == 1 else Failed()

    def decode(*_):
        raise OSError("broken data stream when reading image file")

    monkeypatch.setattr(_read, "_decode", decode)
    with pytest.raises(UnreadableImage, match="it is damaged .broken") as caught:
        read_image(path)
    assert caught.value.trouble == ""
    monkeypatch.setattr(Path, "open", open_)
    with pytest.raises(UnreadableImage) as caught:
        read_image(path)
    assert caught.value.trouble == os.strerror(errno.EIO)


def test_names_and_labels_can_be_written(tmp_path):
    odd = "a\ud800\udce9"
    items = [
        {"image": PIXELS, "name": odd, "label": odd},
        Record(odd, odd, PIXELS),
        Record(odd, odd, Refused(odd)),
    ]
    source = GrainSource(items)
    shown = r"a\ud800\xe9"
    assert [source[k][:2] for k in range(3)] == [(shown, shown)] * 3

    class Own(list):
        describe = fingerprint = None

    chosen: list[Any] = [source, Own(items[1:])]
    for records in chosen:
        slots = [slot for tile in stream(records) for slot in tile.records]
        assert {(slot.name, slot.label) for slot in slots} == {(shown, shown)}
        assert slots[-1].reason == shown


def files(folder: Path, contents: list[bytes]) -> Source:
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(contents):
        (folder / f"{number:03d}.png").write_bytes(data)
    return FileSource([folder])


def archived(make: Callable, folder: Path, contents: list[bytes]) -> Source:
    folder.mkdir(exist_ok=True)
    members = {f"{number:03d}.png": data for number, data in enumerate(contents)}
    return ArchiveSource([make(folder / "x", members)])


def tarred(folder: Path, contents: list[bytes]) -> Source:
    return archived(tar, folder, contents)


def in_zip(folder: Path, contents: list[bytes]) -> Source:
    return archived(zipped, folder, contents)


def encoded(folder: Path, contents: list[bytes]) -> Source:
    return GrainSource(contents)


def arrays(folder: Path, contents: list[bytes]) -> Source:
    return GrainSource([np.frombuffer(data, np.uint8) for data in contents])


@pytest.mark.parametrize("make", [files, tarred, in_zip, encoded, arrays])
def test_others_of_the_same_size_are_noticed(tmp_path, make):
    contents = [bytes([k, 1]) for k in range(130)]
    before = make(tmp_path / "x", contents).fingerprint()
    assert make(tmp_path / "x", contents).fingerprint() == before
    # the first is among those that are read; of a zip all are known
    for place in (0, 1) if make is in_zip else (0,):
        changed = [*contents]
        changed[place] = b"\0\0"
        assert make(tmp_path / "x", changed).fingerprint() != before


def test_a_file_that_cannot_be_read_adds_nothing(tmp_path, monkeypatch):
    source = files(tmp_path / "x", [b"a", b"b"])
    other = files(tmp_path / "y", [b"b", b"a"])
    assert source.fingerprint() != other.fingerprint()

    def refuse(*_):
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(Path, "open", refuse)
    assert source.fingerprint() == other.fingerprint()


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert len(FileSource([tmp_path]).fingerprint()) == 64


def test_content_without_bytes_of_its_own_adds_nothing():
    items = [{"image": object()}, {"image": None}]
    again = [{"image": object()}, {"image": None}]
    assert GrainSource(items).fingerprint() == GrainSource(again).fingerprint()
    with pytest.raises(UnreadableImage, match="its pixels are object"):
        pixels_of(GrainSource(items)[0])
