"""The command `sites`."""

from pathlib import Path
from typing import Annotated

import typer

from xattr.cli._choices import for_command_line
from xattr.cli._console import fail, show_table


def sites(
    model: Annotated[
        str, typer.Option(help="A network; `models` lists them.")
    ] = "mobilenet_v2",
    weights: Annotated[
        Path | None,
        typer.Option(help="Its weights: safetensors or a torch state_dict."),
    ] = None,
) -> None:
    """List a network's sites: every activation that can be read, in order."""
    import jax.numpy as jnp

    from xattr.models import load
    from xattr.program import sites as list_sites

    try:
        pretrained = load(model, weights=weights)
    except (OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model))
    size = pretrained.preprocess.size
    found = list_sites(pretrained.model, jnp.zeros((1, size, size, 3)))
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
