import threading
from pathlib import Path

import numpy as np
import pytest

from xattr.data import Problem, UnreadableImage, read_batches


def numbered(count: int) -> list[Path]:
    return [Path(f"{index}.png") for index in range(count)]


def read_number(path: Path) -> np.ndarray:
    number = int(path.stem)
    if number % 5 == 3:
        raise UnreadableImage(path, "it is three")
    return np.full((1, 1, 3), number, np.uint8)


def test_every_path_comes_once_and_in_order():
    batches = list(read_batches(numbered(10), batch_size=4, read=read_number))
    assert [len(batch.paths) for batch in batches] == [3, 4, 1]
    assert [int(image[0, 0, 0]) for b in batches for image in b.images] == [
        *(0, 1, 2, 4, 5, 6, 7, 9)
    ]
    assert [p for batch in batches for p in batch.problems] == [
        Problem(Path("3.png"), "it is three"),
        Problem(Path("8.png"), "it is three"),
    ]


def test_no_files_give_no_batches():
    assert list(read_batches([], batch_size=2)) == []


def test_a_batch_may_hold_problems_only():
    (batch,) = read_batches([Path("3.png")], batch_size=2, read=read_number)
    assert batch.paths == batch.images == ()
    assert len(batch.problems) == 1


def test_only_one_batch_is_read_ahead():
    seen: set[str] = set()

    def read(path):
        seen.add(path.stem)
        return np.zeros((1, 1, 3), np.uint8)

    stream = read_batches(numbered(12), batch_size=3, read=read)
    next(stream)
    stream.close()
    assert seen <= {str(index) for index in range(6)}
    assert not [t for t in threading.enumerate() if t.name.startswith("xattr-read")]


def test_transform_runs_and_its_failures_are_listed():
    def transform(image):
        if image[0, 0, 0] == 1:
            raise ZeroDivisionError("odd")
        return image.sum()

    (batch,) = read_batches(
        numbered(3), batch_size=3, read=read_number, transform=transform
    )
    assert batch.images == (0, 6)
    assert batch.problems == (
        Problem(Path("1.png"), "preprocessing failed (ZeroDivisionError: odd)"),
    )


@pytest.mark.parametrize("name", ["batch_size", "num_threads"])
def test_sizes_are_checked_at_the_call(name):
    sizes = {"batch_size": 1, "num_threads": 1} | {name: 0}
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        read_batches(
            [], batch_size=sizes["batch_size"], num_threads=sizes["num_threads"]
        )
