"""The command `explain`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xattr.cli._choices import for_command_line
from xattr.cli._console import LISTED, fail, say
from xattr.cli._folder import check_folder, clear_run, is_reported
from xattr.cli._options import (
    Arrays,
    Decoder,
    Model,
    Precision,
    Seed,
    Signed,
    Site,
    Table,
    Weights,
    some_methods,
)
from xattr.data import Problem, Source, display_name, open_source

DEFAULT_METHODS = (
    "gradient,integrated_gradients,smoothgrad,grad_cam,layer_cam,occlusion"
)


def explain(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Image files, folders (recursively) and globs; or tar and zip "
            "archives; or `tfds:NAME/SPLIT`."
        ),
    ],
    model: Model = "mobilenet_v2",
    weights: Weights = None,
    method: Annotated[list[str] | None, some_methods(DEFAULT_METHODS)] = None,
    target: Annotated[
        str, typer.Option(help="`predicted`, or a class's index or name.")
    ] = "predicted",
    site: Site = None,
    decoder: Decoder = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path(
        "xattr-results"
    ),
    batch_size: Annotated[
        int, typer.Option(help="Photographs computed together: 1, 2, 4, … 256.")
    ] = 8,
    table: Table = "csv",
    signed: Signed = False,
    arrays: Arrays = False,
    precision: Precision = "default",
    seed: Seed = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run's results.")
    ] = False,
) -> None:
    """Explain photographs: a run and its report in one folder.

    There are pages to look at, overlays, a table, and the maps, which
    `xattr.open_run(FOLDER)` reads. What was interrupted goes on if it is called again.

    Exit code: 0 if all went well, 1 if a file was skipped or a map is not finite,
    2 if the call was wrong (nothing is written), 3 if the disk or the memory is
    full, 130 if interrupted.
    """
    from xattr.cli._executing import execute_run
    from xattr.cli._photographs import describe_source
    from xattr.cli._planning import plan_from_options
    from xattr.cli._reporting import Options, report_run
    from xattr.run import Computation, Place, RunLocked, open_run

    try:
        check_folder(out, overwrite=overwrite or _goes_on(out))
        _check_paths(paths)
        source = open_source(paths, leave_out=out)
        problems = getattr(source, "problems", ())
        _check_found(source, problems)
        plan = plan_from_options(
            method or [DEFAULT_METHODS],
            num_records=len(source),
            model=model,
            weights=weights,
            target=target,
            site=site,
            decoder=decoder,
            batch_size=batch_size,
            seed=seed,
            precision=precision,
        )
        computation = Computation(plan)
        computation.layouts()
        if overwrite:
            clear_run(out)
    except RunLocked as error:
        fail(error)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model).replace("`places`", "`PATHS`"))
    outcome = execute_run(
        plan,
        source,
        Place(out),
        computation=computation,
        about=describe_source(paths, None, problems),
    )
    if outcome.code:
        say("The same call goes on where this one ended.", error=True)
        raise typer.Exit(outcome.code)
    options = Options(table, signed, overlays=True, arrays=arrays)
    raise typer.Exit(report_run(open_run(out), source, out, options))


def _goes_on(folder: Path) -> bool:
    """Whether a run was begun there, and neither it nor its report was finished."""
    from xattr.run import RunMismatch, open_run

    try:
        run = open_run(folder)
    except (OSError, RunMismatch):
        return False
    num_shards = -(-len(run) // run.settings["shard_size"])
    return len(run.committed) < num_shards or not is_reported(folder)


def _check_paths(paths: list[str]) -> None:
    """Raise for an empty path, such as an unset variable gives: it is no folder."""
    if not all(paths):
        raise ValueError(
            "`PATHS` has an empty path. For this folder give `.`: "
            "`python -m xattr explain .`"
        )


def _check_found(source: Source, problems: Sequence[Problem]) -> None:
    """Raise if there is nothing to explain."""
    if not len(source):
        listed = "; ".join(_named(problem) for problem in problems[:LISTED])
        raise ValueError(f"`PATHS` holds no image file ({listed}).")


def _named(problem: Problem) -> str:
    """A problem on one line."""
    return f"{display_name(problem.path)}: {problem.reason}"
