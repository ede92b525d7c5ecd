"""The command `report`."""

from pathlib import Path
from typing import Annotated

import typer

from xattr.cli._console import fail
from xattr.cli._folder import check_report_folder
from xattr.cli._options import Arrays, Signed, Table


def report(
    run: Annotated[str, typer.Argument(metavar="DIR", help="The run's folder.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report. [default: the run's]"),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(help="Where the photographs are, if they were moved."),
    ] = None,
    table: Table = "csv",
    signed: Signed = False,
    overlays: Annotated[
        bool | None,
        typer.Option(
            "--overlays/--no-overlays",
            help="PNG files of each map. [default: up to 1000 photographs]",
            show_default=False,
        ),
    ] = None,
    arrays: Arrays = False,
) -> None:
    """Show a run, finished or in the making: pages, a table, figures of the whole.

    Photographs are read again where they were. Pages hold a hundred of them each; the
    first has the figures. Memory does not grow with the run.

    Exit code: 0 if all is well, 1 if the run skipped a file or has a map that is not
    finite, 2 if the call was wrong, 3 if the disk is full, 130 if interrupted.
    """
    from xattr.cli._photographs import find_photographs
    from xattr.cli._reporting import Options, check_shown, report_run
    from xattr.run import open_run

    try:
        folder = out or _own_folder(run)
        found = open_run(run)
        check_shown(found)
        check_report_folder(folder)
        source = find_photographs(found, images or (), leave_out=folder)
    except (ImportError, OSError, ValueError) as error:
        fail(str(error).replace("`places`", "`--images`"))
    options = Options(table, signed, overlays, arrays)
    raise typer.Exit(report_run(found, source, folder, options))


def _own_folder(run: str) -> Path:
    """The run's folder, if it is one."""
    if "://" in run:
        raise ValueError(f"{run} is no folder of this machine: give `--out FOLDER`.")
    if not Path(run).is_dir():
        raise ValueError(f"There is no folder {run}.")
    return Path(run)
