"""The commands `run` and `run status`."""

import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xattr.cli._choices import for_command_line, nearest
from xattr.cli._console import LISTED, fail, say, show_table
from xattr.cli._executing import SKIPPED, execute_run
from xattr.cli._photographs import describe_source
from xattr.cli._planning import Precision, plan_from_options
from xattr.cli._survey import faults_of

if TYPE_CHECKING:
    from xattr.run import Share

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    subcommand_metavar="[status DIR]",
)

ON_CPU, ON_ACCELERATOR = 8, 64
_TABLE = "options"


def _configure(context: typer.Context, file: Path | None) -> Path | None:
    """Take what a file says as the defaults of this call's options."""
    if file is None:
        return None
    try:
        settings = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        fail(f"`--config` {file} cannot be read ({error.strerror}).")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(f"`--config` {file} is no TOML file ({error}).")
    known = {p.name for p in context.command.params if p.name} - {"config"}
    given = {name.replace("-", "_"): value for name, value in settings.items()}
    context.meta[_TABLE] = given.pop(_TABLE, {})
    for name in given:
        if name not in known:
            fail(
                f"`--config` {file} has {name!r}, which is no option. "
                f"{nearest(name, known)}`python -m xattr run --help` lists them."
            )
    context.default_map = given
    return file


@app.callback()
def run(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            is_eager=True,
            callback=_configure,
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
    model: Annotated[
        str, typer.Option(help="A network; `models` lists them.")
    ] = "mobilenet_v2",
    weights: Annotated[
        Path | None,
        typer.Option(help="Its weights: safetensors or a torch state_dict."),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Methods, with commas between.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyperparameter: rise.num_masks=1000."),
    ] = None,
    target: Annotated[
        str, typer.Option(help="`predicted`, `label`, or a class's index or name.")
    ] = "predicted",
    site: Annotated[
        str | None,
        typer.Option(
            help="Where CAMs read; `sites` lists them. [default: the model's]"
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images that a device computes together. "
            f"[default: {ON_CPU} on a CPU, {ON_ACCELERATOR} on an accelerator]",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of methods that draw at random.")
    ] = 0,
    precision: Annotated[
        Precision, typer.Option(help="Of matrix products on an accelerator.")
    ] = "default",
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
    share: Annotated[
        str | None,
        typer.Option(
            help="Part of the run for this process, such as 0/4. [default: all]"
        ),
    ] = None,
    distributed: Annotated[
        bool,
        typer.Option(help="Share with the processes of Slurm, Kubernetes, TPU or MPI."),
    ] = False,
    coordinator: Annotated[
        str | None, typer.Option(help="Address and port of the first process.")
    ] = None,
    num_processes: Annotated[
        int | None, typer.Option(min=1, help="With --coordinator: how many there are.")
    ] = None,
    process: Annotated[
        int | None, typer.Option(min=0, help="With --coordinator: this one's number.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="With --distributed: how JAX finds the others.")
    ] = None,
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
    import jax

    from xattr.data import open_source
    from xattr.run import Computation, Place

    if not images or not out or not method:
        missing = next(
            name
            for name, value in (("images", images), ("out", out), ("method", method))
            if not value
        )
        fail(
            f"`--{missing}` is missing: `python -m xattr run --images photos/ "
            "--method grad_cam --out results`."
        )
    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    try:
        part = _share(share, distributed, coordinator, num_processes, process, cluster)
        source = open_source(images, labels=labels, leave_out=_local(out))
        if not len(source):
            raise ValueError(f"`--images` {' '.join(images)} holds no image.")
        plan = plan_from_options(
            method,
            num_records=256,
            model=model,
            weights=weights,
            target=target,
            has_labels=True,
            site=site,
            batch_size=batch_size or _batch_size(),
            seed=seed,
            precision=precision,
            options=_options(context.meta.get(_TABLE, {}), option or []),
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
    raise typer.Exit(_summary(out) or (SKIPPED if problems else 0))


@app.command()
def status(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A run's store.")],
) -> None:
    """Tell how far a run is, and what has gone wrong.

    Exit code: 0, or 2 if there is no run.
    """
    from xattr.run import open_run

    try:
        found = open_run(folder)
        done = found.statuses()
        staged = found.num_staged
    except (ImportError, OSError, ValueError) as error:
        fail(error)
    rows = [
        ("records", len(found)),
        ("committed", done.total()),
        ("waiting for their shard", staged),
        ("to be computed", len(found) - done.total() - staged),
        *((f"status {name}", count) for name, count in done.most_common()),
    ]
    say(f"{folder}: {', '.join(found.methods)} of {found.settings['model']['name']}")
    show_table(("", "count"), rows)
    writing = found.writers()
    for writer in writing:
        say(f"being written by process {writer['pid']} on {writer['host']}")


def _summary(out: str) -> int:
    """Say how many records have which status; the exit code."""
    from xattr.run import open_run

    counts = open_run(out).statuses()
    told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    say(f"{out}: {told or 'no shard is whole yet'}")
    return SKIPPED if any(map(_is_spoiled, counts)) else 0


def _is_spoiled(status: str) -> bool:
    """Whether a record was skipped, or a map failed or is not finite."""
    return status == "skipped" or bool(set(faults_of(status).values()) - {"all zero"})


def _share(
    share: str | None,
    distributed: bool,
    coordinator: str | None,
    num_processes: int | None,
    process: int | None,
    cluster: str | None,
) -> "Share":
    """This process's part of the run."""
    from xattr.run import Share, join_processes

    if share is None:
        if not (distributed or coordinator):
            return Share()
        return join_processes(
            coordinator, num_processes=num_processes, process=process, cluster=cluster
        )
    number, slash, count = share.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise ValueError(f"`--share` {share!r} is no share: give one such as `0/4`.")
    if not int(number) < int(count):
        raise ValueError(
            f"`--share` {share!r} does not exist: shares of {count} are 0/{count} to "
            f"{int(count) - 1}/{count}."
        )
    return Share(int(number), int(count))


def _options(
    table: Mapping[str, Mapping[str, Any]], settings: list[str]
) -> dict[str, dict[str, Any]]:
    """Hyperparameters by method, those of the command line last.

    Example:
      >>> _options({"rise": {"num_masks": 10}}, ["rise.num_masks=20", "rise.grid=5"])
      {'rise': {'num_masks': 20, 'grid': 5}}
    """
    options = {name: dict(values) for name, values in table.items()}
    for text in settings:
        path, equals, value = text.partition("=")
        method, dot, name = path.partition(".")
        if not (equals and dot and method and name):
            raise ValueError(
                f"`--set` {text!r} is no hyperparameter: give one such as "
                "`--set rise.num_masks=1000`."
            )
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        options.setdefault(method, {})[name] = parsed
    return options


def _batch_size() -> int:
    """On a CPU so many that a CAM shares one forward pass with the prediction."""
    import jax

    return ON_CPU if jax.default_backend() == "cpu" else ON_ACCELERATOR


def _local(out: str) -> str | None:
    return None if "://" in out else out


def _revision() -> str | None:
    """The revision of the working folder, if it is under git."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None
