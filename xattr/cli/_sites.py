"""The command `sites`."""

from pathlib import Path
from typing import Annotated

import typer

from xattr.cli._choices import for_command_line
from xattr.cli._console import fail, show_table
from xattr.cli._subject import find_subject


def sites(
    model: Annotated[
        str,
        typer.Option(help="A network; `models` lists them. Or module:attribute."),
    ] = "mobilenet_v2",
    weights: Annotated[
        Path | None,
        typer.Option(help="Its weights: safetensors or a torch state_dict."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="Side of images for a model of yours. [default: 224]"),
    ] = None,
) -> None:
    """List a network's sites: every activation that can be read, in order.

    Without weights, shapes are those of the network as it was published.
    """
    import jax.numpy as jnp

    from xattr.program import sites as list_sites

    try:
        subject = find_subject(model, weights, size)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model))
    side = subject.preprocess.size
    found = list_sites(subject.model, jnp.zeros((1, side, side, 3)))
    show_table(
        ("name", "module", "operation", "shape", "axes"),
        (
            (
                site.name,
                " ".join(site.modules),
                site.operation,
                " × ".join(map(str, site.shape)),
                site.axes,
            )
            for site in found
        ),
    )
