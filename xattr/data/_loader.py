"""Tiles of preprocessed images, decoded ahead of their use by grain."""

import atexit
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from xattr.data._read_slot import Read, Slot, Transform
from xattr.data._record import Source
from xattr.data._trouble import SourceLost

# Left open at the end, streams would be taken apart when modules are gone already.
_OPEN: weakref.WeakSet[Generator] = weakref.WeakSet()


class Tile(NamedTuple):
    """The records `tile_size * number`, ... of a source.

    Attributes:
      number: position of the tile in its source.
      images: zeros where a record gave no image, and after the last record.
      records: a slot per record; fewer than `tile_size` in the last tile only.
    """

    number: int
    images: UInt8[np.ndarray, "tile_size size size 3"]
    records: tuple[Slot, ...]


def load_tiles(
    source: Source,
    tiles: Sequence[int],
    *,
    tile_size: int,
    transform: Transform,
    size: int,
    num_workers: int = 0,
    num_threads: int = 2,
) -> Generator[Tile, None, None]:
    """Read, decode and preprocess tiles of a source, in the order asked for.

    What is yielded depends on neither `num_workers` nor `num_threads`. Whatever
    fails for one record (the source, a decoder, `transform`) is the reason in its
    slot; but trouble of the machine, which says nothing of the record, ends the
    iteration where that record would come. That is an error of a disk, a network,
    or of memory, or a file that was listed and is not there (a source that knows of
    missing files gives `Refused` for them); it is tried three times.

    Only transformed pixels are kept, of at most about two tiles ahead. Closing the
    iterator ends threads and workers; workers end by themselves when this process
    dies.

    Args:
      source: what to read; pickled if there are workers, and so is `transform`.
      tiles: numbers of the tiles wanted.
      tile_size: records to a tile.
      transform: from an image to uint8 of shape (size, size, 3), such as
        `Preprocess(size=size, resize=resize).pixels`.
      size: side of the transformed images.
      num_workers: processes that decode; 0 decodes in threads of this one. They
        are spawned, so a script that is run must guard its own entry point by
        `if __name__ == "__main__":`.
      num_threads: threads that decode, in each process.

    Yields:
      A tile per number.

    Raises:
      ImportError: if grain is not installed.
      ValueError: if a size or number of threads is below 1, `num_workers` is
        negative, or a tile lies outside the source.
      RuntimeError: while iterating, if a worker process is killed from outside.
      SourceLost: while iterating, if the source cannot be read any more.
    """
    counts = {"tile_size": tile_size, "size": size, "num_threads": num_threads}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"`{name}` must be at least 1, got {count}.")
    if num_workers < 0:
        raise ValueError(f"`num_workers` must be at least 0, got {num_workers}.")
    num_tiles = -(-len(source) // tile_size)
    if len(tiles) and not 0 <= min(tiles) <= max(tiles) < num_tiles:
        raise ValueError(
            f"`tiles` reach from {min(tiles)} to {max(tiles)}; {len(source)} records "
            f"in tiles of {tile_size} make the tiles 0 to {num_tiles - 1}."
        )
    read = Read(source, tiles, tile_size, transform, size)
    elements = _elements(read, len(tiles) * tile_size, num_workers, num_threads)
    stream = _assemble(elements, tiles, tile_size, size)
    _OPEN.add(stream)
    return stream


@atexit.register
def _close_all() -> None:
    """Close what is left, but for a stream that another thread waits for."""
    for stream in list(_OPEN):
        with suppress(ValueError):
            stream.close()


def _elements(
    read: Read, length: int, num_workers: int, num_threads: int
) -> Iterable[Any]:
    """Grain's data set over all positions."""
    grain = _import_grain()
    num_workers = min(num_workers, length)
    ahead = -(-read.tile_size // max(num_workers, 1))
    options = grain.ReadOptions(
        num_threads=num_threads,
        # the parent's queues hold the rest where there are workers
        prefetch_buffer_size=num_threads if num_workers else max(ahead, num_threads),
    )
    elements = grain.MapDataset.range(length).map(read).to_iter_dataset(options)
    if not num_workers:
        return elements
    return elements.mp_prefetch(
        grain.MultiprocessingOptions(
            num_workers=num_workers, per_worker_buffer_size=ahead
        ),
        worker_init_fn=_begin_worker,
    )


def _import_grain() -> Any:
    """Grain, with defaults for its command-line flags."""
    try:
        import grain
        from absl import flags
    except ImportError as error:
        raise ImportError(
            "Runs over data sets need grain: `pip install grain`."
        ) from error
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    return grain


def _begin_worker(*_: int) -> None:
    """Leave interrupts to the parent, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    """Wait for a process to end, killed or not, then end this one."""
    parent.join()
    os._exit(1)


def _assemble(
    elements: Iterable[Any], tiles: Sequence[int], tile_size: int, size: int
) -> Generator[Tile, None, None]:
    """Gather elements into tiles, and close their iterator in the end."""
    iterator: Any = iter(elements)
    try:
        for number in tiles:
            yield _gather(int(number), iterator, tile_size, size)
    finally:
        iterator.close()


def _gather(number: int, iterator: Iterator[Any], tile_size: int, size: int) -> Tile:
    """The next tile of a stream."""
    images = np.zeros((tile_size, size, size, 3), np.uint8)
    slots = []
    for row in range(tile_size):
        if element := next(iterator):
            if isinstance(element, SourceLost):
                raise element
            slot, pixels = element
            slots.append(slot)
            if pixels is not None:
                images[row] = np.frombuffer(pixels, np.uint8).reshape(size, size, 3)
    return Tile(number, images, tuple(slots))
