"""The command `explain`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from xattr.cli._choices import choose_methods, choose_target, for_command_line
from xattr.cli._console import LISTED, fail
from xattr.cli._folder import check_folder
from xattr.cli._needs import check_needs, check_site
from xattr.data import Found, Problem, display_name, find_images

DEFAULT_METHODS = (
    "gradient,integrated_gradients,smoothgrad,grad_cam,layer_cam,occlusion"
)


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
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**32 - 1, help="Of methods that draw at random."),
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run's results.")
    ] = False,
) -> None:
    """Explain photographs: overlays, raw maps, a table, and a page to look at.

    Exit code: 0 if all went well, 1 if a file was skipped or a map is not finite,
    2 if the call was wrong (nothing is written), 3 if the disk or the memory is
    full, 130 if interrupted.
    """
    from xattr.cli._explaining import Plan, check_sites
    from xattr.cli._running import execute
    from xattr.cli._table import check_format
    from xattr.cli._writing import Results, describe
    from xattr.cli.methods import METHODS
    from xattr.models import load

    try:
        methods = choose_methods(method or [DEFAULT_METHODS], METHODS)
        check_site(site, methods)
        check_needs(methods)
        check_format(table)
        check_folder(out, overwrite=overwrite)
        _check_paths(paths)
        found = find_images(paths, leave_out=out)
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
        check_sites(plan)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model))
    shown = "predicted" if plan.target is None else pretrained.classes[plan.target]
    options = {"table": table, "signed": signed, "facts": describe(plan, shown)}
    begin = partial(Results, out, plan, len(found.paths), **options)
    raise typer.Exit(execute(plan, found, out, begin))


def _check_paths(paths: list[str]) -> None:
    """Raise for an empty path, such as an unset variable gives: it is no folder."""
    if not all(paths):
        raise ValueError(
            "`PATHS` has an empty path. For this folder give `.`: "
            "`python -m xattr explain .`"
        )


def _check_found(found: Found) -> None:
    """Raise if there is nothing to explain."""
    if not found.paths:
        listed = "; ".join(_named(problem) for problem in found.problems[:LISTED])
        raise ValueError(f"`PATHS` holds no image file ({listed}).")


def _named(problem: Problem) -> str:
    """A problem on one line."""
    return f"{display_name(problem.path)}: {problem.reason}"
