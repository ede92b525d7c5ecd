"""Compute and write, and say how it went."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from xattr.cli._choices import for_command_line
from xattr.cli._console import LISTED, Progress, fail, progress, say
from xattr.cli._explaining import Plan, explain_files
from xattr.cli._interruption import INTERRUPTED, Interruption, interruptible
from xattr.cli._writing import Results
from xattr.data import Found, display_name

SKIPPED, BROKEN = 1, 3
WRONG = (ImportError, OverflowError, TypeError, ValueError)


class Run:
    """One run; nothing is written before the first batch is computed.

    Attributes:
      folder: where it writes.
      results: what is written, once there is something.
    """

    def __init__(
        self, plan: Plan, found: Found, folder: Path, begin: Callable[[], Results]
    ) -> None:
        self._plan, self._found, self._begin = plan, found, begin
        self.folder = folder
        self.results: Results | None = None

    def __str__(self) -> str:
        """How far it went."""
        done = self.results.done if self.results else 0
        return f"{done} of {len(self._found.paths)} files"

    def go(self, bar: Progress, interruption: Interruption) -> None:
        """Compute and write every file."""

        def note(method: str) -> None:
            interruption.check()
            bar.note(method)

        interruption.check()
        with closing(explain_files(self._plan, self._found.paths, note=note)) as stream:
            for batch in stream:
                interruption.check()
                if self.results is None:
                    self.results = self._begin()
                    self.results.skip(self._found.problems)
                self.results.add(batch, check=interruption.check)
                bar.advance(len(batch.paths) + len(batch.problems))
                interruption.check()


def execute(
    plan: Plan, found: Found, folder: Path, begin: Callable[[], Results]
) -> int:
    """Compute, write and report; the exit code."""
    run, notice, code = Run(plan, found, folder, begin), "", 0
    with interruptible() as interruption:
        try:
            with progress(len(found.paths)) as bar:
                run.go(bar, interruption)
        except KeyboardInterrupt:
            notice, code = f"The run was interrupted after {run}.", INTERRUPTED
        except Exception as error:
            if run.results is None and isinstance(error, WRONG):
                # The first batch tells that the call was wrong.
                fail(for_command_line(error, plan.pretrained.name))
            notice, code = f"The run broke off after {run}.", BROKEN
            if not (reason := _reason(error, plan, run)):
                _finish(run, notice)
                raise
            say(f"Error: {reason}", error=True)
        reason = _finish(run, notice)
    if reason and code != BROKEN:
        say(f"Error: {reason}", error=True)
        code = BROKEN
    if notice:
        say(notice, error=True)
    return code or (SKIPPED if run.results and run.results.spoiled else 0)


def _finish(run: Run, notice: str) -> str:
    """Write what is missing and report; why it cannot be written, if it cannot."""
    if run.results is None:
        return ""
    try:
        table = run.results.finish(notice)
    except OSError as error:
        return _unwritten(run, error)
    _report(run.results, table)
    return ""


def _reason(error: Exception, plan: Plan, run: Run) -> str:
    """An error of the machine as a sentence; empty for an error of the program."""
    if isinstance(error, OSError):
        return _unwritten(run, error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        advice = "try `--batch-size 1`" if plan.batch_size > 1 else "try fewer methods"
        return f"The memory is too small for a batch of {plan.batch_size}: {advice}."
    return ""


def _unwritten(run: Run, error: OSError) -> str:
    """What the system said, and how far the run came."""
    return f"Writing to {run.folder} failed ({error.strerror or error}) after {run}."


def _report(results: Results, table: Path) -> None:
    """Say what was skipped, what cannot be drawn, and where the results are."""
    _list_some(
        "Skipped", [f"{display_name(p.path)}: {p.reason}" for p in results.problems]
    )
    _list_some(
        "Not drawn",
        [f"{file}: {name} is {state}" for file, name, state in results.faults],
    )
    say(f"Table: {table}")
    say(f"Page:  {results.page}")


def _list_some(head: str, lines: Sequence[str]) -> None:
    """The first lines, and how many more there are."""
    for line in lines[:LISTED]:
        say(f"{head}: {line}", error=True)
    if len(lines) > LISTED:
        say(f"{head}: {len(lines) - LISTED} more, listed in the table", error=True)
