"""What a person reads while a command runs."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, Protocol

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

WRONG_CALL = 2


class Advance(Protocol):
    """Called with the number of files that were just finished."""

    def __call__(self, count: int, /) -> None: ...


def console(*, error: bool = False) -> Console:
    """A console on the current output; made anew, for tests swap the streams."""
    stream = sys.stderr if error else sys.stdout
    terminal = Console(file=stream, highlight=False)
    return terminal if terminal.is_terminal else _wide(stream)


def say(text: str, *, error: bool = False) -> None:
    """Print one line as it is: no markup, no wrapping."""
    console(error=error).print(escape(text), soft_wrap=True)


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
        table.add_row(*(escape(str(cell)) for cell in row))
    out.print(table)


@contextmanager
def progress(total: int) -> Iterator[Advance]:
    """A bar on a terminal; elsewhere a line for every tenth of the files."""
    err = console(error=True)
    if not err.is_terminal:
        yield _lines(total)
        return
    columns = (
        TextColumn("Explaining"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("explain", total=total)
        yield lambda count: bar.advance(task, count)


def _lines(total: int) -> Advance:
    """Progress as lines."""
    done, told = 0, 0

    def advance(count: int) -> None:
        nonlocal done, told
        done += count
        if done == total or done - told >= max(total // 10, 1):
            told = done
            say(f"{done} of {total} files", error=True)

    return advance


def _wide(stream) -> Console:
    """A console that never wraps, for pipes and files."""
    return Console(file=stream, highlight=False, width=10_000, color_system=None)
