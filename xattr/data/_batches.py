"""Many files, decoded ahead of their use."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xattr.data._read import UnreadableImage, read_image
from xattr.data._sources import Problem

Read = Callable[[Path], np.ndarray]
Transform = Callable[[np.ndarray], np.ndarray]


class Batch(NamedTuple):
    """The images of up to `batch_size` files, and the files that gave none."""

    paths: tuple[Path, ...]
    images: tuple[np.ndarray, ...]
    problems: tuple[Problem, ...]


def read_batches(
    paths: Sequence[Path],
    *,
    batch_size: int,
    transform: Transform | None = None,
    read: Read = read_image,
    num_threads: int = 2,
) -> Generator[Batch, None, None]:
    """Read files in order, one batch ahead of the one in use.

    At most two batches are alive: the one that was yielded last and the one being
    decoded meanwhile. With `transform`, only its results are kept, so that large
    photographs cost memory one per thread.

    Args:
      paths: files, in the order wanted.
      batch_size: files to a batch. A batch has fewer images where files are
        unreadable, and the last one where files run out.
      transform: from an image to what is kept of it, run in the reading thread;
        an exception from it makes the file a problem.
      read: from a path to an image; raises `UnreadableImage`.
      num_threads: files decoded at once.

    Yields:
      Batches that hold every path once, as an image or as a problem.

    Raises:
      ValueError: if `batch_size` or `num_threads` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
    if num_threads < 1:
        raise ValueError(f"`num_threads` must be at least 1, got {num_threads}.")
    return _stream(paths, batch_size, transform, read, num_threads)


def _stream(
    paths: Sequence[Path],
    batch_size: int,
    transform: Transform | None,
    read: Read,
    num_threads: int,
) -> Generator[Batch, None, None]:
    """Submit a batch, then yield the one before it."""
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="xattr-read")
    waiting: list[Future] = []
    try:
        for start in range(0, len(paths), batch_size):
            part = paths[start : start + batch_size]
            ahead = [pool.submit(_attempt, path, read, transform) for path in part]
            if waiting:
                yield _collect(waiting)
            waiting = ahead
        if waiting:
            yield _collect(waiting)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _attempt(
    path: Path, read: Read, transform: Transform | None
) -> tuple[Path, np.ndarray] | Problem:
    """An image, or the reason why there is none."""
    try:
        image = read(path)
    except UnreadableImage as error:
        return Problem(path, error.reason)
    if transform is None:
        return path, image
    try:
        return path, transform(image)
    except Exception as error:  # one odd image must not end a run of thousands
        return Problem(path, f"preprocessing failed ({type(error).__name__}: {error})")


def _collect(futures: Sequence[Future]) -> Batch:
    """Wait for a batch and part its images from its problems."""
    results = [future.result() for future in futures]
    good = [result for result in results if not isinstance(result, Problem)]
    bad = tuple(result for result in results if isinstance(result, Problem))
    return Batch(
        tuple(path for path, _ in good), tuple(image for _, image in good), bad
    )
