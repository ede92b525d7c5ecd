"""What a person reads while a command runs."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, Protocol

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

WRONG_CALL = 2
LISTED = 20


class Bar(Protocol):
    """Where a run stands."""

    def show(self, done: int, total: int, pace: str = "", /) -> None:
        """So many files are done, at this pace."""

    def say(self, text: str, /) -> None:
        """Print one line beside it."""


def console(*, error: bool = False) -> Console:
    """A console on the current output; made anew, for tests swap the streams."""
    stream = sys.stderr if error else sys.stdout
    terminal = Console(file=stream, highlight=False)
    return terminal if terminal.is_terminal else _wide(stream)


def say(text: str, *, error: bool = False) -> None:
    """Print one line as it is: no markup, no wrapping."""
    console(error=error).print(Text(text), soft_wrap=True)


def fail(reason: object) -> NoReturn:
    """End a command that was called wrongly."""
    say(f"Error: {reason}", error=True)
    raise typer.Exit(WRONG_CALL)


def show_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under heads; whole cells, tab-separated, where no one looks on."""
    out = console()
    if not out.is_terminal:
        for row in (heads, *rows):
            print("\t".join(map(str, row)), file=out.file)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    out.print(table)


@contextmanager
def progress_bar(
    prefix: str = "", doing: str = "computing", unit: str = "files"
) -> Iterator[Bar]:
    """A bar on a terminal; elsewhere a line for every tenth of the files."""
    err = console(error=True)
    if not err.is_terminal:
        yield _Lines(prefix, unit)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    with Bars(*columns, console=err, transient=True) as bars:
        yield _Terminal(bars, f"{prefix}{doing}")


class _Terminal:
    """Progress as a bar."""

    def __init__(self, bars: Bars, doing: str) -> None:
        self._bars, self._task = bars, bars.add_task(doing, total=None, pace="")

    def show(self, done: int, total: int, pace: str = "", /) -> None:
        self._bars.update(self._task, completed=done, total=total, pace=pace)

    def say(self, text: str, /) -> None:
        self._bars.console.print(Text(text), soft_wrap=True)


class _Lines:
    """Progress as lines, for logs."""

    def __init__(self, prefix: str, unit: str) -> None:
        self._prefix, self._unit, self._told = prefix, unit, -1

    def show(self, done: int, total: int, pace: str = "", /) -> None:
        step = max(total // 10, 1)
        if done == self._told or (done < total and 0 <= self._told > done - step):
            return
        self._told = done
        self.say(f"{done} of {total} {self._unit}" + (pace and f", {pace}"))

    def say(self, text: str, /) -> None:
        say(f"{self._prefix}{text}", error=True)


def _wide(stream) -> Console:
    """A console that never wraps, for pipes and files."""
    return Console(file=stream, highlight=False, width=10_000, color_system=None)
