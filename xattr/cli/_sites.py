"""The command `sites`."""

from pathlib import Path
from typing import Annotated

import typer

from xattr._model import Model
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
    """List a network's sites: every activation that can be read, in order.

    Without weights, shapes are those of the network as it was published.
    """
    import jax.numpy as jnp

    from xattr.program import sites as list_sites

    try:
        network, size = _load(model, weights)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model))
    found = list_sites(network, jnp.zeros((1, size, size, 3)))
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


def _load(name: str, weights: Path | None) -> tuple[Model, int]:
    """The network, at random where there are no weights, and its images' side."""
    from xattr import from_nnx, models
    from xattr.models._bundled import class_names
    from xattr.models._presets import find_preset
    from xattr.program import rewrite

    preset = find_preset(name)
    if weights is None and not preset.bundled:
        count = len(class_names(preset.labels))
        network = from_nnx(models.untrained(name, num_classes=count))
        return rewrite(network), preset.preprocess.size
    pretrained = models.load(name, weights=weights)
    return pretrained.model, pretrained.preprocess.size
