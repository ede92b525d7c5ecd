"""The command `run`."""

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from xattr.cli._choices import for_command_line
from xattr.cli._configuration import configure, configured, hyperparameters
from xattr.cli._console import LISTED, fail, say
from xattr.cli._executing import SKIPPED, execute_run
from xattr.cli._options import Decoder, Methods, Model, Precision, Seed, Site, Weights
from xattr.cli._photographs import describe_source
from xattr.cli._planning import plan_from_options
from xattr.cli._sharing import (
    Cluster,
    Coordinator,
    Distributed,
    NumProcesses,
    Process,
    ShareText,
    share_of,
)
from xattr.cli._status import status, summarize

if TYPE_CHECKING:
    from xattr.data import Source

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    subcommand_metavar="[status DIR]",
)

ON_CPU, ON_ACCELERATOR = 8, 64

app.command()(status)


@app.callback()
def run(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            is_eager=True,
            callback=configure,
            help="TOML file of the options below; what is typed goes before it. "
            "Hyperparameters stand in tables `[options.METHOD]`.",
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            help="Files, folders, globs, tar and zip archives, or tfds:NAME/SPLIT."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder or bucket for the results.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="`folders`, or a CSV file with columns file and label."),
    ] = None,
    model: Model = "mobilenet_v2",
    weights: Weights = None,
    method: Methods = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyperparameter: rise.num_masks=1000."),
    ] = None,
    target: Annotated[
        str, typer.Option(help="`predicted`, `label`, or a class's index or name.")
    ] = "predicted",
    site: Site = None,
    decoder: Decoder = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images that a device computes together. "
            f"[default: {ON_CPU} on a CPU, {ON_ACCELERATOR} on an accelerator]",
        ),
    ] = None,
    seed: Seed = 0,
    precision: Precision = "default",
    compute_dtype: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="What the network computes in."),
    ] = "float32",
    chunk_memory: Annotated[
        int | None,
        typer.Option(min=1, help="MiB of a chunk of evaluations. [default: by device]"),
    ] = None,
    maps_dtype: Annotated[
        Literal["float32", "float16", "int8"],
        typer.Option(help="What maps are kept in; int8 with a scale for each."),
    ] = "float32",
    resolution: Annotated[
        Literal["raw", "input"],
        typer.Option(help="Maps of a site on its grid, or at the image's size."),
    ] = "raw",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that decode; 0 for threads.")
    ] = 0,
    perturbation: Annotated[
        int, typer.Option(min=1, help="Devices that share each image's perturbations.")
    ] = 1,
    share: ShareText = None,
    distributed: Distributed = False,
    coordinator: Coordinator = None,
    num_processes: NumProcesses = None,
    process: Process = None,
    cluster: Cluster = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps compiled programs for the next call."),
    ] = None,
) -> None:
    """Explain a whole data set into a store; call it again to go on after a break.

    Exit code: 0 if all went well, 1 if an image was skipped or a map is not finite,
    2 if the call was wrong (nothing is written), 3 if the disk or the memory is full,
    130 if interrupted. `run status DIR` tells how far a run is.
    """
    if context.invoked_subcommand is not None:
        return
    from xattr.run import Computation, Place

    if not images or not out or not method:
        _fail_for_missing(images=images, out=out, method=method)
    if cache is not None:
        _keep_programs(cache)
    try:
        part = share_of(
            share, distributed, coordinator, num_processes, process, cluster
        )
        source = _source(images, labels, out)
        plan = plan_from_options(
            method,
            num_records=256,
            model=model,
            weights=weights,
            target=target,
            has_labels=True,
            site=site,
            decoder=decoder,
            batch_size=batch_size or _batch_size(),
            seed=seed,
            precision=precision,
            options=hyperparameters(configured(context), option or []),
            compute_dtype=compute_dtype,
            chunk_memory=chunk_memory and chunk_memory << 20,
            maps_dtype=maps_dtype,
            resolution=resolution,
        )
        computation = Computation(plan, num_perturbation=perturbation)
        place = Place(out)
        problems = getattr(source, "problems", ())
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model))
    outcome = execute_run(
        plan,
        source,
        place,
        share=part,
        computation=computation,
        num_workers=workers,
        about=describe_source(images, labels, problems) | {"git": _revision()},
    )
    if outcome.code:
        raise typer.Exit(outcome.code)
    for problem in problems[:LISTED]:
        say(f"Skipped: {problem.path}: {problem.reason}", error=True)
    raise typer.Exit(summarize(out) or (SKIPPED if problems else 0))


def _fail_for_missing(**given: object) -> NoReturn:
    """End a call that lacks an option, the first of those that are empty."""
    missing = next(name for name, value in given.items() if not value)
    fail(
        f"`--{missing}` is missing: `python -m xattr run --images photos/ "
        "--method grad_cam --out results`."
    )


def _keep_programs(folder: Path) -> None:
    """Keep compiled programs in a folder, and take them from there."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _source(images: list[str], labels: str | None, out: str) -> "Source":
    """The records, without results that lie among them."""
    from xattr.data import open_source

    leave_out = None if "://" in out else out
    source = open_source(images, labels=labels, leave_out=leave_out)
    if not len(source):
        raise ValueError(f"`--images` {' '.join(images)} holds no image.")
    return source


def _batch_size() -> int:
    """On a CPU so many that a CAM shares one forward pass with the prediction."""
    import jax

    return ON_CPU if jax.default_backend() == "cpu" else ON_ACCELERATOR


def _revision() -> str | None:
    """The revision of the working folder, if it is under git."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None
