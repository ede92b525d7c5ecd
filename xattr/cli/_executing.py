"""Compute a run, say how it goes, and how it ended."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from xattr.cli._choices import for_command_line
from xattr.cli._console import Bar, fail, progress_bar, say
from xattr.cli._interruption import INTERRUPTED, interruptible

if TYPE_CHECKING:
    from xattr.data import Source
    from xattr.run import Computation, Place, Plan, Progress, Share

SKIPPED, BROKEN = 1, 3
WRONG = (ImportError, OverflowError, TypeError, ValueError)


class Outcome(NamedTuple):
    """How computing ended.

    Attributes:
      progress: how far it came.
      code: 0 if it came to its end, whatever the results; 3 if the disk or the memory
        is full; 130 if interrupted.
    """

    progress: "Progress"
    code: int


def execute_run(
    plan: "Plan",
    source: "Source",
    place: "Place",
    *,
    share: "Share | None" = None,
    computation: "Computation | None" = None,
    num_workers: int = 0,
    about: Mapping[str, Any] | None = None,
) -> Outcome:
    """Compute what a store lacks, with progress and in sentences.

    Args:
      plan: what to compute.
      source: the records.
      place: where the results go.
      share: this process's part; all by default.
      computation: the plan's programs; by default on all local devices.
      num_workers: processes that decode.
      about: further facts for `run.json`.

    Raises:
      typer.Exit: if the call was wrong; it has been said.
      Exception: an error of the program, after it was said how far the run came.
    """
    from xattr.run import Share, execute

    share = share or Share()

    def work(bar: Bar, check: Callable[[], None], note: Note) -> "Progress":
        def report(progress: "Progress") -> None:
            note(progress)
            bar.show(progress.done, progress.total, _pace(progress))
            check()

        return execute(
            plan,
            source,
            place,
            share=share,
            computation=computation,
            about=about,
            num_workers=num_workers,
            report=report,
        )

    return watched(work, plan, place, prefix=_prefix(share))


Note = Callable[["Progress"], None]


def watched(
    work: Callable[[Bar, Callable[[], None], Note], "Progress"],
    plan: "Plan",
    place: "Place",
    *,
    prefix: str = "",
    unit: str = "files",
) -> Outcome:
    """Have something computed, and say how it ended.

    A signal ends the work after what is being computed, a second one at once; the store
    can be gone on with either way. What goes wrong is said here; a wrong call, such as
    another run's folder or one that another process writes, ends the command with code
    2, before anything is computed.

    Args:
      work: computes; it is given a bar, a check that may raise `KeyboardInterrupt`, and
        what to tell how far it is.
      plan: what is computed.
      place: where it is written.
      prefix: what begins each line.
      unit: of what the bar counts.

    Raises:
      typer.Exit: if the call was wrong; it has been said.
      Exception: an error of the program, after it was said how far the work came.
    """
    from xattr.data import SourceLost
    from xattr.run import Progress, RunLocked

    last = Progress()

    def note(progress: Progress) -> None:
        nonlocal last
        last = progress

    def far() -> str:
        return f"{last.done} of {last.total} {unit}"

    def settle(reason: str, code: int) -> Outcome:
        say(f"Error: {reason} after {far()}.", error=True)
        return Outcome(last, code)

    with (
        interruptible() as interruption,
        progress_bar(prefix, unit=unit) as bar,
        _warnings_said(bar),
    ):
        try:
            interruption.check()
            return Outcome(work(bar, interruption.check, note), 0)
        except KeyboardInterrupt:
            say(f"The run was interrupted after {far()}.", error=True)
            return Outcome(last, INTERRUPTED)
        except RunLocked as error:
            if not last.total:
                fail(error)
            return settle(f"{error} This process ends", BROKEN)
        except Exception as error:
            if not last.total and isinstance(error, WRONG):
                fail(for_command_line(error, plan.pretrained.name))
            if isinstance(error, SourceLost):
                return settle(str(error).removesuffix("."), BROKEN)
            if isinstance(error, OSError):
                why = error.strerror or error
                return settle(f"Writing to {place} failed ({why})", BROKEN)
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                return settle(_too_large(plan.tile_size), BROKEN)
            say(f"The run broke off after {far()}.", error=True)
            raise


def _too_large(tile_size: int) -> str:
    """What to do about too little memory."""
    advice = "try `--batch-size 1`" if tile_size > 1 else "try fewer methods"
    return f"The memory is too small for a batch of {tile_size} ({advice})"


def _prefix(share: "Share") -> str:
    """What tells this process's lines from the others'."""
    return f"process {share.number + 1} of {share.count}: " if share.count > 1 else ""


def _pace(progress: "Progress") -> str:
    """How fast it goes, and how long it will take.

    Example:
      >>> from xattr.run import Progress
      >>> _pace(Progress(total=1000, done=400, computed=300, busy=0.957, rate=2.5))
      '2.5 per second, devices 96% busy, 4 min left'
    """
    if not progress.computed or not progress.rate:
        return ""
    left = (progress.total - progress.done) / progress.rate
    parts = [f"{progress.rate:.3g} per second", f"devices {progress.busy:.0%} busy"]
    return ", ".join([*parts, f"{duration(left)} left"] if left else parts)


def duration(seconds: float) -> str:
    """A time in the unit that fits.

    Example:
      >>> [duration(s) for s in (4, 240, 9000, 400_000)]
      ['4 s', '4 min', '2.5 h', '4.6 days']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


@contextmanager
def _warnings_said(bar: Bar) -> Iterator[None]:
    """Say what the library warns of, such as a method that is tried in parts."""
    log, handler = logging.getLogger("xattr"), logging.Handler(logging.WARNING)
    handler.emit = lambda record: bar.say(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
