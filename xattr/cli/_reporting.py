"""A run's store as pages, pictures and a table."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xattr.cli._console import Bar, progress_bar, say
from xattr.cli._drawing import Drawn, draw, write_arrays, write_overlays
from xattr.cli._executing import BROKEN, SKIPPED
from xattr.cli._folder import (
    REPORT_MARK,
    clear_report,
    page_name,
    record_name,
    write_whole,
)
from xattr.cli._gallery import Gallery
from xattr.cli._interruption import INTERRUPTED, interruptible
from xattr.cli._parts import parts
from xattr.cli._survey import Survey, survey
from xattr.cli._table import Format, write_table
from xattr.data import Source
from xattr.render import PageHead, Skipped

if TYPE_CHECKING:
    from xattr.run import Run

FEW = 1000


class Options(NamedTuple):
    """What a report has beside its pages.

    Attributes:
      table: format of the table.
      signed: what overlays show.
      overlays: whether there are any; None for reports of few records.
      arrays: whether there are raw maps.
    """

    table: Format = "csv"
    signed: bool = False
    overlays: bool | None = None
    arrays: bool = False


class Report(NamedTuple):
    """What was written, and of what.

    Attributes:
      survey: figures of the run.
      table: the table's path.
      num_gone: photographs that could not be read again.
    """

    survey: Survey
    table: Path
    num_gone: int


def check_shown(run: "Run") -> None:
    """Raise if there is nothing of a run to show yet.

    Raises:
      ValueError: if so.
    """
    if not run.committed:
        raise ValueError(
            f"{run} has nothing to show yet: {run.num_staged} records are computed, "
            "and are shown when the first 256 are whole."
        )


def write_report(
    run: "Run",
    source: Source,
    folder: Path,
    options: Options,
    *,
    bar: Bar,
    check: Callable[[], None],
) -> Report:
    """Write the pages of a run, shard by shard, over an earlier report.

    Args:
      run: the run, whole or in the making.
      source: its photographs.
      folder: where the report goes.
      options: what else is wanted.
      bar: told how it goes.
      check: called between records; may raise `KeyboardInterrupt`.

    Raises:
      KeyboardInterrupt: if `check` does; the page at work is written then.
      OSError: if the report cannot be written, or the run cannot be read.
    """
    shards = run.committed
    found = survey(run, shards)
    clear_report(folder)
    table = write_table(run, shards, folder, options.table)
    if options.overlays is None:
        options = options._replace(overlays=found.num_rows <= FEW)
    problems = [Skipped(*problem) for problem in found.problems]
    gallery = Gallery(folder, _head(run, found), found.num_rows, problems)
    num_gone = 0
    try:
        with closing(parts(run, source, shards)) as stream:
            for part in stream:
                for drawn in draw(part, run.methods):
                    check()
                    _write(run, folder, drawn, options)
                    gallery.add(drawn.entry)
                    num_gone += bool(getattr(drawn.entry, "note", ""))
                bar.show(gallery.num_done, found.num_rows)
    except KeyboardInterrupt:
        done = f"{gallery.num_done:,} of {found.num_rows:,} files"
        gallery.finish(f"The report was interrupted after {done}.")
        raise
    gallery.finish()
    _mark(run, folder)
    return Report(found, table, num_gone)


def report_run(run: "Run", source: Source, folder: Path, options: Options) -> int:
    """Write a report and say how it went; the exit code."""
    from pyarrow import ArrowException

    with interruptible() as interruption:
        try:
            with progress_bar(doing="drawing") as bar:
                report = write_report(
                    run, source, folder, options, bar=bar, check=interruption.check
                )
        except KeyboardInterrupt:
            say(
                f"The report was interrupted: `python -m xattr report {folder}` begins "
                "it again.",
                error=True,
            )
            return INTERRUPTED
        except (OSError, ArrowException) as error:
            reason = getattr(error, "strerror", None) or error
            say(f"Error: The report in {folder} failed ({reason}).", error=True)
            return BROKEN
    _say(report)
    say(f"Page:  {folder / page_name(1)}")
    return SKIPPED if report.survey.spoiled else 0


def _say(report: Report) -> None:
    """Say what was skipped, what cannot be drawn, and where the table is."""
    found = report.survey
    _list_some("Skipped", found.skipped, found.num_skipped)
    _list_some("Not drawn", found.faults, found.num_faults)
    if report.num_gone:
        say(
            f"Drawn on gray: {report.num_gone} photographs that cannot be read again; "
            "say where they are with `--images`.",
            error=True,
        )
    say(f"Table: {report.table}")


def _list_some(head: str, lines: Sequence[str], count: int) -> None:
    """The first lines, and how many more there are."""
    for line in lines:
        say(f"{head}: {line}", error=True)
    if count > len(lines):
        say(f"{head}: {count - len(lines)} more, listed in the table", error=True)


def _write(run: "Run", folder: Path, drawn: Drawn, options: Options) -> None:
    """A record's own files."""
    name = record_name(drawn.row["index"], len(run), drawn.row["file"])
    if options.overlays:
        write_overlays(folder, name, drawn, signed=options.signed)
    if options.arrays:
        write_arrays(folder, name, drawn)


def _head(run: "Run", found: Survey) -> PageHead:
    """What stands above the photographs."""
    settings = run.settings
    target = settings["target"]
    facts = [
        ("Explained class", found.target_label if isinstance(target, int) else target)
    ]
    if settings["site"]:
        facts.append(("Site", settings["site"]))
    missing = found.num_records - found.num_rows
    return PageHead(
        model=settings["model"]["name"],
        methods=run.methods,
        facts=facts,
        summary=found.summary(),
        notice=_unfinished(found) if missing else "",
    )


def _unfinished(found: Survey) -> str:
    return (
        f"The run is not finished: {found.num_rows:,} of {found.num_records:,} files "
        "are shown here, those of whole shards."
    )


def _mark(run: "Run", folder: Path) -> None:
    """Say that the folder holds a report, and of what."""
    mark = {"format": 1, "run": run.settings["model"]["name"], "files": len(run)}
    text = json.dumps(mark, indent=1) + "\n"
    write_whole(folder / REPORT_MARK, lambda file: file.write(text.encode()))
