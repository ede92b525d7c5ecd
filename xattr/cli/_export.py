"""The command `export`."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xattr.cli._choices import choose_methods, choose_target, for_command_line
from xattr.cli._console import fail, say
from xattr.cli._needs import check_needs, check_site
from xattr.cli._options import (
    Model,
    Precision,
    Seed,
    Site,
    Weights,
    matmul_precision,
)
from xattr.images._stretch import squares

if TYPE_CHECKING:
    from xattr.cli.methods import MethodRow
    from xattr.models import Pretrained


def export(
    out: Annotated[Path, typer.Option(help="File to write.")],
    method: Annotated[str, typer.Option(help="One method; `methods` lists them.")],
    model: Model = "mobilenet_v2",
    weights: Weights = None,
    site: Site = None,
    target: Annotated[
        str,
        typer.Option(
            help="`predicted`, `given` (a second input), or a class's index or name."
        ),
    ] = "predicted",
    images: Annotated[
        Literal["uint8", "float32"],
        typer.Option(help="Type of the images: bytes, or numbers in [0, 1]."),
    ] = "uint8",
    batch: Annotated[
        str,
        typer.Option(help="Images per call, or `any`: then one after another."),
    ] = "1",
    platform: Annotated[
        str, typer.Option(help="Where it shall run: cpu, cuda, rocm, tpu, with commas.")
    ] = "cpu,cuda,tpu",
    memory: Annotated[
        int, typer.Option(min=1, help="MiB that a chunk of evaluations may take.")
    ] = 256,
    precision: Precision = "default",
    seed: Seed = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file.")
    ] = False,
) -> None:
    """Write a method and a network, weights included, as one file for a server.

    The file is a zip: `explainer.json` describes what goes in and comes out,
    `explainer.jax_export` is the program for `jax.export.deserialize`, without this
    library, and `explainer.stablehlo` the same one for other runtimes.

    Exit code: 0 if all went well, 2 if the call was wrong (nothing is written).
    """
    import jax

    from xattr import chunk_memory, save_explainer
    from xattr.models import load

    platforms = tuple(name.strip() for name in platform.split(",") if name.strip())
    try:
        row = _method(method, site)
        _check_file(out, overwrite=overwrite)
        # The forms that are fastest on a CPU are slow elsewhere.
        pretrained = load(model, weights=weights, rewrite=platforms == ("cpu",))
        where = (site or pretrained.site) if row.site else None
        matmul = matmul_precision(precision)
        with chunk_memory(memory << 20), jax.default_matmul_precision(matmul):
            facts = save_explainer(
                out,
                _bound(row, where, pretrained),
                pretrained.model,
                image_shape=_shape(pretrained),
                images=images,
                batch=_count(batch),
                targets=_target(target, pretrained),
                platforms=platforms,
                seed=seed,
                about=_about(row, where, pretrained),
            )
    except (ImportError, OSError, TypeError, ValueError) as error:
        text = for_command_line(error, model)
        fail(text.replace("`platforms`=", "`--platform` "))
    _show_interface(facts)
    say(f"{out}: {out.stat().st_size / 2**20:.1f} MiB for {', '.join(platforms)}")


def _method(name: str, site: str | None) -> "MethodRow":
    """The method, if it can be had, fits the site and makes one program."""
    from xattr.cli.methods import METHODS

    chosen = choose_methods([name], METHODS)
    row = _single(chosen)
    check_site(site, chosen)
    check_needs(chosen)
    return row


def _single(methods: Mapping[str, "MethodRow"]) -> "MethodRow":
    """The one method, if a program can be made of it."""
    if len(methods) > 1:
        raise ValueError(
            f"`--method` names {len(methods)} methods; a file holds one: "
            f"`--method {next(iter(methods))}`."
        )
    (row,) = methods.values()
    if row.prepare is not None:
        raise ValueError(
            f"`--method {row.name}` looks at each photograph before its program runs "
            f"({row.prepare.__name__}), which a file can't hold. Give another method: "
            f"`--method integrated_gradients`."
        )
    return row


def _show_interface(facts: Mapping[str, Any]) -> None:
    """What goes in and comes out."""
    for kind in ("inputs", "outputs"):
        for part in facts[kind]:
            say(f"{kind[:-1]} {part['name']}: {part['dtype']}{part['shape']}")


def _check_file(out: Path, *, overwrite: bool) -> None:
    """Raise unless the file can be written."""
    if out.is_dir():
        raise ValueError(f"`--out` {out} is a folder; give a file in it.")
    if not out.parent.is_dir():
        raise ValueError(f"`--out` {out} is in no folder that there is.")
    if out.exists() and not overwrite:
        raise ValueError(
            f"`--out` {out} is there already. Give another name, or `--overwrite`."
        )


def _count(batch: str) -> Any:
    """The number of images per call, or any."""
    if batch == "any" or (batch.isdecimal() and int(batch) > 0):
        return batch if batch == "any" else int(batch)
    raise ValueError(
        f"`--batch` {batch!r} must be a number from 1, or `any`: `--batch 8`."
    )


def _target(text: str, pretrained: "Pretrained") -> Any:
    if text.strip().casefold() == "given":
        return "given"
    index = choose_target(text, pretrained.classes)
    return "predicted" if index is None else index


def _shape(pretrained: "Pretrained") -> tuple[int, int, int]:
    return squares(pretrained.preprocess, pretrained.name).shape


def _bound(row: "MethodRow", site: str | None, pretrained: "Pretrained") -> Any:
    """The method with all that it needs beside images, targets and keys."""
    import jax.numpy as jnp

    blank = jnp.zeros((1, *_shape(pretrained)))
    options = row.baselines(blank) if row.baselines else {}
    if site is not None:
        options["site"] = site
    return functools.partial(row.method, **options)


def _about(
    row: "MethodRow", site: str | None, pretrained: "Pretrained"
) -> dict[str, Any]:
    """What the file says beside what the library knows."""
    preprocess = squares(pretrained.preprocess, pretrained.name)
    return {
        "method": row.name,
        "summary": row.summary,
        "model": pretrained.name,
        "site": site,
        "preprocess": {
            "resize": preprocess.resize,
            "size": preprocess.size,
            "interpolation": preprocess.interpolation,
        },
        "classes": list(pretrained.classes),
    }
