"""The command `explain`."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xattr.cli._choices import choose_methods, choose_target
from xattr.cli._console import fail, progress, say
from xattr.cli._folder import check_folder
from xattr.data import Found, Problem, display_name, find_images

if TYPE_CHECKING:
    from xattr.cli._explaining import Plan
    from xattr.cli._writing import Results

DEFAULT_METHODS = (
    "gradient,integrated_gradients,smoothgrad,grad_cam,layer_cam,occlusion"
)
SKIPPED, INTERRUPTED = 1, 130
LISTED = 20


def explain(
    paths: Annotated[
        list[str], typer.Argument(help="Image files, folders (recursively) and globs.")
    ],
    model: Annotated[
        str, typer.Option(help="A network; `models` lists them.")
    ] = "mobilenet_v2",
    weights: Annotated[
        Path | None,
        typer.Option(help="Its weights: safetensors or a torch state_dict."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Methods, with commas between. [default: {DEFAULT_METHODS}]",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(help="`predicted`, or a class's index or name.")
    ] = "predicted",
    site: Annotated[
        str | None,
        typer.Option(
            help="Where CAMs read; `sites` lists them. [default: the model's]"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path(
        "xattr-results"
    ),
    batch_size: Annotated[
        int, typer.Option(min=1, help="Photographs computed together.")
    ] = 8,
    table: Annotated[
        Literal["csv", "parquet"], typer.Option(help="Format of the predictions.")
    ] = "csv",
    signed: Annotated[
        bool,
        typer.Option("--signed/--absolute", help="What the PNG overlays show."),
    ] = False,
    precision: Annotated[
        Literal["default", "high", "highest"],
        typer.Option(help="Precision of matrix products on an accelerator."),
    ] = "default",
    seed: Annotated[int, typer.Option(help="Of methods that draw at random.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run's results.")
    ] = False,
) -> None:
    """Explain photographs: overlays, raw maps, a table, and a page to look at.

    Exit code: 0 if all went well, 1 if a file was skipped or a map is not finite,
    2 if the call was wrong (nothing is written), 130 if interrupted.
    """
    from xattr.cli._explaining import Plan
    from xattr.cli._table import check_format
    from xattr.cli._writing import describe
    from xattr.cli.methods import METHODS
    from xattr.models import load

    try:
        methods = choose_methods(method or [DEFAULT_METHODS], METHODS)
        _check_site(site, methods)
        check_format(table)
        check_folder(out, overwrite=overwrite)
        found = find_images(paths)
        _check_found(found)
        pretrained = load(model, weights=weights)
        plan = Plan(
            pretrained=pretrained,
            methods=methods,
            target=choose_target(target, pretrained.classes),
            site=site or pretrained.site,
            batch_size=min(batch_size, len(found.paths)),
            seed=seed,
            precision=None if precision == "default" else precision,
        )
    except (OSError, TypeError, ValueError) as error:
        fail(error)
    shown = "predicted" if plan.target is None else pretrained.classes[plan.target]
    options = {"table": table, "signed": signed, "facts": describe(plan, shown)}
    raise typer.Exit(_run(plan, found, out, options))


def _run(plan: "Plan", found: Found, out: Path, options: dict) -> int:
    """Compute and write; the exit code."""
    from xattr.cli._explaining import explain_files
    from xattr.cli._writing import Results

    total, done, notice = len(found.paths), 0, ""
    results: Results | None = None
    with progress(total) as bar, _terminable():
        batches = explain_files(plan, found.paths, note=bar.note)
        try:
            for batch in batches:
                if results is None:
                    results = Results(out, plan, total, **options)
                    results.skip(found.problems)
                results.add(batch)
                done += len(batch.paths) + len(batch.problems)
                bar.advance(len(batch.paths) + len(batch.problems))
        except KeyboardInterrupt:
            notice = f"The run was interrupted after {done} of {total} files."
        except Exception as error:
            if results is None and isinstance(error, (TypeError, ValueError)):
                fail(error)  # the first batch tells that the call was wrong
            if results is not None:
                results.finish(f"The run broke off after {done} of {total} files.")
            raise
        finally:
            batches.close()
    if results is None:
        say(notice, error=True)
        return INTERRUPTED
    table = results.finish(notice)
    _report(results, table, notice)
    if notice:
        return INTERRUPTED
    broken = any(state == "not finite" for *_, state in results.faults)
    return SKIPPED if results.problems or broken else 0


def _report(results: "Results", table: Path, notice: str) -> None:
    """Say what was skipped, what cannot be drawn, and where the results are."""
    _list_some(
        "Skipped", [f"{display_name(p.path)}: {p.reason}" for p in results.problems]
    )
    _list_some(
        "Not drawn",
        [f"{file}: {name} is {state}" for file, name, state in results.faults],
    )
    if notice:
        say(notice, error=True)
    say(f"Table: {table}")
    say(f"Page:  {results.page}")


def _list_some(head: str, lines: list[str]) -> None:
    """The first lines, and how many more there are."""
    for line in lines[:LISTED]:
        say(f"{head}: {line}", error=True)
    if len(lines) > LISTED:
        say(f"{head}: {len(lines) - LISTED} more, listed in the table", error=True)


def _check_site(site: str | None, methods: dict) -> None:
    """Raise if a site is given that nothing would read."""
    if site is not None and not any(row.site for row in methods.values()):
        raise ValueError(
            f"`--site` {site!r} is given, but none of {', '.join(methods)} reads a "
            "site. Leave it out, or add such a method: `--method grad_cam`."
        )


def _check_found(found: Found) -> None:
    """Raise if there is nothing to explain."""
    if not found.paths:
        listed = "; ".join(_named(problem) for problem in found.problems[:LISTED])
        raise ValueError(f"`PATHS` holds no image file ({listed}).")


def _named(problem: Problem) -> str:
    """A problem on one line."""
    return f"{display_name(problem.path)}: {problem.reason}"


@contextmanager
def _terminable() -> Iterator[None]:
    """Treat a request to terminate as Ctrl-C, so that what is done is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
