"""Taking turns at the clock, and what memory a process took meanwhile."""

import contextlib
import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

THREADS = 2


def limit_threads(count: int = THREADS) -> None:
    """Keep this process and its children to a few cores; before any library starts."""
    # Both are read once, when the library starts.
    os.environ["OMP_NUM_THREADS"] = str(count)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def measured(
    runs: Mapping[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Seconds that each run reports, taking turns, `rounds` times."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        # Every other round backwards, so that none always follows the same.
        for name, run in list(runs.items())[:: 1 if turn % 2 == 0 else -1]:
            seconds[name].append(run())
    return seconds


def tried(
    probe: Callable[[int], Callable[[], object]], choices: Sequence[int]
) -> dict[str, float]:
    """Seconds of each choice, once; the first is run once before."""
    seconds = {}
    probe(choices[0])()
    for choice in choices:
        run = probe(choice)
        start = time.perf_counter()
        run()
        seconds[str(choice)] = time.perf_counter() - start
    return seconds


def ratio(seconds: Mapping[str, list[float]], of: str, to: str) -> float:
    """Median over the rounds of one time over another."""
    return statistics.median(
        a / b for a, b in zip(seconds[of], seconds[to], strict=True)
    )


class HostMemory:
    """Bytes of this process's resident set."""

    def used(self) -> int:
        """Give back what is not in use, and return what is left."""
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        return process_status("VmRSS")

    def reset(self) -> None:
        """Forget the peak so far."""
        self.used()
        Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> int:
        """Return the largest since the reset."""
        return process_status("VmHWM")


def process_status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"this system does not state {key}")
