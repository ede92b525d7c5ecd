"""Tiles: order, reasons, bounded memory, and workers that end."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.apart import apart
from xattr.data import GrainSource, Record, Refused, load_tiles
from xattr.images import Preprocess

SIZE = 3
WHOLE: dict[str, Any] = {"tile_size": 4, "size": SIZE}


class Numbers:
    """Ten records: pixels that tell their index, and some that fail."""

    def __init__(self, count: int = 10) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Record:
        if index == 2:
            raise OSError("the disk\nis gone")
        content: Any = np.full((SIZE, SIZE, 3), index + 1, np.uint8)
        if index == 3:
            content = Refused("it is three")
        if index == 5:
            content = b"no image"
        return Record(f"n{index}", f"label {index % 2}", content)


def keep(image: np.ndarray) -> np.ndarray:
    """Return the image, or fail for number 7."""
    if image[0, 0, 0] == 8:
        raise ZeroDivisionError("odd")
    return image if image[0, 0, 0] != 10 else image.astype(np.float32)


def source(count: int = 10) -> GrainSource:
    return GrainSource(Numbers(count))


def load(*tiles: int, **options: Any):
    return list(load_tiles(source(), tiles, transform=keep, **(WHOLE | options)))


def as_values(tiles) -> list:
    return [(tile.number, tile.images.tolist(), tile.records) for tile in tiles]


def test_records_fill_their_slots_in_order():
    tiles = load(0, 1, 2)
    assert [tile.number for tile in tiles] == [0, 1, 2]
    assert [[slot.index for slot in tile.records] for tile in tiles] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert all(tile.images.shape == (4, SIZE, SIZE, 3) for tile in tiles)
    assert all(tile.images.dtype == np.uint8 for tile in tiles)
    first = [tile.images[:, 0, 0, 0].tolist() for tile in tiles]
    assert first == [[1, 2, 0, 0], [5, 0, 7, 0], [9, 0, 0, 0]]
    assert tiles[1].records[2].name == "n6"
    assert tiles[1].records[3].label == "label 1"


def test_every_failure_is_a_reason_in_its_slot():
    reasons = {
        slot.index: slot.reason for tile in load(0, 1, 2) for slot in tile.records
    }
    assert reasons == {
        **dict.fromkeys([0, 1, 4, 6, 8], ""),
        2: "reading it failed (OSError: the disk is gone)",
        3: "it is three",
        5: "it is not an image of a known format, or its header is damaged",
        7: "preprocessing failed (ZeroDivisionError: odd)",
        9: "preprocessing gave float32 of shape (3, 3, 3) instead of uint8 of shape "
        "(3, 3, 3)",
    }


def test_tiles_come_as_asked_and_do_not_depend_on_the_others():
    whole = as_values(load(0, 1, 2))
    assert as_values(load(2, 0)) == [whole[2], whole[0]]
    assert as_values(load(1)) == [whole[1]]
    assert load() == []


def test_nothing_depends_on_threads_or_workers():
    expected = as_values(load(2, 0, 1))
    for options in ({"num_threads": 1}, {"num_threads": 7}, {"num_workers": 2}):
        assert as_values(load(2, 0, 1, **options)) == expected
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_workers_may_be_more_than_tiles():
    assert as_values(load(2, num_workers=2)) == as_values(load(2))
    assert multiprocessing.active_children() == []


def test_photographs_are_preprocessed_as_by_hand():
    noise = np.random.default_rng(0).integers(0, 255, (3, 40, 50, 3), np.uint8)
    preprocess = Preprocess(size=8, resize=10)
    (tile,) = load_tiles(
        GrainSource(noise), [0], tile_size=3, transform=preprocess.pixels, size=8
    )
    for image, pixels in zip(tile.images, noise, strict=True):
        np.testing.assert_array_equal(image / np.float32(255), preprocess(pixels))


def test_reading_ahead_is_bounded():
    seen: set[int] = set()

    class Counting(Numbers):
        def __getitem__(self, index: int) -> Record:
            seen.add(index)
            return super().__getitem__(index)

    stream = load_tiles(GrainSource(Counting(100)), range(25), transform=keep, **WHOLE)
    next(stream)
    time.sleep(0.2)
    stream.close()
    assert seen <= set(range(8))


def test_closing_ends_threads_and_workers():
    for num_workers in (0, 2):
        stream = load_tiles(
            source(60), range(15), transform=keep, num_workers=num_workers, **WHOLE
        )
        next(stream)
        stream.close()
        assert multiprocessing.active_children() == []
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _grain_threads():
        time.sleep(0.05)
    assert not _grain_threads()


def _grain_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("grain-prefetch")]


SCRIPT = """
    import os, sys, multiprocessing, time
    import numpy as np
    from xattr.data import GrainSource, load_tiles

    def same(image):
        return image

    if __name__ == "__main__":
        source = GrainSource(np.ones((400, 3, 3, 3), np.uint8))
        tiles = load_tiles(
            source, range(100), tile_size=4, size=3, transform=same, num_workers=2
        )
        next(tiles)
        if sys.argv[1] == "all":
            print(1 + len(list(tiles)))
        if sys.argv[1] == "wait":
            print(*(child.pid for child in multiprocessing.active_children()))
            sys.stdout.flush()
            time.sleep(600)
"""


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return path


@pytest.mark.parametrize(
    ("part", "printed"),
    [("one", ""), apart("all", "100\n")],
)
def test_a_script_with_workers_says_nothing_of_its_own(script, part, printed):
    done = subprocess.run(
        [sys.executable, "-W", "error", script, part], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")


def test_workers_end_when_their_parent_is_killed(script):
    with subprocess.Popen(
        [sys.executable, script, "wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(_is_alive, workers))
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(map(_is_alive, workers)):
        time.sleep(0.1)
    assert not any(map(_is_alive, workers))


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for init to notice."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("name", ["tile_size", "size", "num_threads"])
def test_counts_are_checked_at_the_call(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        load(0, **{name: 0})


def test_workers_and_tiles_are_checked_at_the_call():
    with pytest.raises(ValueError, match="`num_workers` must be at least 0, got -1"):
        load(0, num_workers=-1)
    with pytest.raises(ValueError, match="`tiles` reach from 1 to 3; 10 records in"):
        load(3, 1)
    with pytest.raises(ValueError, match="`tiles` reach from -1 to 0"):
        load(-1, 0)


def test_without_grain_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ImportError, match=r"pip install grain"):
        load(0)


def die(image: np.ndarray) -> np.ndarray:
    os._exit(3)


def test_a_worker_that_dies_ends_the_stream_with_an_error():
    stream = load_tiles(source(), [0, 1], transform=die, num_workers=1, **WHOLE)
    with pytest.raises(RuntimeError, match="terminated unexpectedly with exit code 3"):
        next(stream)
    assert multiprocessing.active_children() == []
