"""The command `bench`."""

import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from xattr.cli._choices import choose_methods, for_command_line
from xattr.cli._console import fail, say, show_table
from xattr.cli._needs import check_needs, check_site
from xattr.cli._options import (
    AnyModel,
    Precision,
    Site,
    Size,
    Weights,
    matmul_precision,
    some_methods,
)
from xattr.cli._subject import Subject, find_subject
from xattr.images._stretch import squares

if TYPE_CHECKING:
    from xattr.images import Preprocess

DEFAULT_METHODS = "gradient,grad_cam,occlusion"
_HEADS = ("what", "ms per image", "images per second", "forward passes")
_HEADS += ("memory, MiB", "chunk", "compiled in, s")


def bench(
    model: AnyModel = "mobilenet_v2",
    weights: Weights = None,
    method: Annotated[list[str] | None, some_methods(DEFAULT_METHODS)] = None,
    site: Site = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Photographs. [default: the bundled ones]"),
    ] = None,
    size: Size = None,
    batch: Annotated[int, typer.Option(min=1, help="Images computed together.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Turns that each takes.")] = 5,
    precision: Precision = "default",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures.")
    ] = None,
) -> None:
    """Time methods on a model, against its forward pass.

    Everything is compiled first; then all take their turn in each round. Times are
    medians over the rounds, and so are the ratios. "memory" is what the compiler sets
    aside for one call, "chunk" how many evaluations are held at once. A network that
    has no weights gets random ones.

    Exit code: 0 if all went well, 2 if the call was wrong.
    """
    import jax

    from xattr.cli._measuring import measure, peak_memory, programs
    from xattr.cli.methods import METHODS

    if json_file is not None and not json_file.parent.is_dir():
        fail(f"`--json` {json_file} cannot be written to (there is no such folder).")
    try:
        methods = choose_methods(method or [DEFAULT_METHODS], METHODS)
        check_site(site, methods)
        check_needs(methods)
        subject = find_subject(model, weights, size)
        where = _site(site, subject, methods)
        pixels = _batch(images, squares(subject.preprocess, subject.name), batch)
        found = []
        with jax.default_matmul_precision(matmul_precision(precision)):
            for program in programs(subject.model, pixels, methods, where):
                say(f"compiled {program.name}", error=True)
                found.append(program)
            rows = measure(found, rounds, batch)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model))
    peak, of = peak_memory()
    settings = {
        "model": subject.name,
        "weights": subject.weights,
        "images": list(pixels.shape),
        "dtype": str(pixels.dtype),
        "precision": precision,
        "site": where,
        "rounds": rounds,
    }
    show_table(_HEADS, ([_cell(row[head]) for head in _HEADS] for row in rows))
    say(f"{_line(settings)}; peak of the {of}: {peak / 2**20:.0f} MiB")
    say(_line(_hardware() | _versions()))
    if json_file is not None:
        figures = {
            "settings": settings,
            f"peak of the {of}, MiB": peak / 2**20,
            "rows": rows,
        }
        _write(json_file, figures)


def _site(site: str | None, subject: Subject, methods: Mapping[str, Any]) -> str | None:
    """Where methods that read a site do so."""
    where = site or subject.site
    needing = [name for name, row in methods.items() if row.site]
    if where is None and needing:
        raise ValueError(
            f"`--method {needing[0]}` reads a site, and {subject.name!r} names none. "
            "Give `--site`; list them with "
            f"`python -m xattr sites --model {subject.name}`."
        )
    return where


def _batch(folder: Path | None, preprocess: "Preprocess", count: int) -> np.ndarray:
    """Photographs as the model takes them, again from the first if they run out."""
    from xattr import models
    from xattr.data import FileSource, UnreadableImage, pixels_of

    places = list(models.photographs()) if folder is None else [folder]
    images: list[np.ndarray] = []
    for record in FileSource(places):
        with suppress(UnreadableImage):
            images.append(preprocess(pixels_of(record)))
        if len(images) == count:
            break
    if not images:
        raise ValueError(f"`--images` {folder} holds no image file.")
    return np.stack([images[k % len(images)] for k in range(count)])


def _write(file: Path, figures: Mapping[str, Any]) -> None:
    """The figures, and where and when they were taken."""
    record = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": _hardware(),
        "versions": _versions(),
        **figures,
    }
    try:
        file.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    except OSError as error:
        fail(f"`--json` {file} cannot be written to ({error.strerror}).")


def _hardware() -> dict[str, Any]:
    import jax

    device = jax.local_devices()[0]
    return {
        "device": device.device_kind,
        "devices": jax.local_device_count(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }


def _processor() -> str:
    """Model of the processor, where the system tells."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text("utf-8").splitlines() if facts.exists() else []
    named = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return named[0].strip() if named else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    from xattr._version import __version__

    packages = {name: version(name) for name in ("jax", "jaxlib", "numpy")}
    return {"python": platform.python_version(), "xattr-jax": __version__} | packages


def _cell(value: Any) -> str:
    """Numbers in four digits, and nothing where there is nothing."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _line(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
