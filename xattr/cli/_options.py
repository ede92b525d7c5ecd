"""The options that several commands have, each written once."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Model = Annotated[str, typer.Option(help="A network; `models` lists them.")]
AnyModel = Annotated[
    str, typer.Option(help="A network; `models` lists them. Or module:attribute.")
]
Weights = Annotated[
    Path | None,
    typer.Option(help="Its weights: safetensors or a torch state_dict."),
]
Size = Annotated[
    int | None,
    typer.Option(min=1, help="Side of images for a model of yours. [default: 224]"),
]
Methods = Annotated[
    list[str] | None, typer.Option(help="Methods, with commas between.")
]
Site = Annotated[
    str | None,
    typer.Option(help="Where CAMs read; `sites` lists them. [default: the model's]"),
]
Decoder = Annotated[
    Path | None,
    typer.Option(
        help="What `decoder train` has written: the method `decoder`. [default: the "
        "network's own, if it has one]"
    ),
]
Seed = Annotated[
    int,
    typer.Option(min=0, max=2**32 - 1, help="Of methods that draw at random."),
]
Precision = Annotated[
    Literal["default", "high", "highest"],
    typer.Option(help="Of matrix products on an accelerator."),
]
Table = Annotated[
    Literal["csv", "parquet"], typer.Option(help="Format of the predictions.")
]
Signed = Annotated[
    bool, typer.Option("--signed/--absolute", help="What the PNG overlays show.")
]
Arrays = Annotated[bool, typer.Option("--arrays", help="Each map as a .npy file.")]


def some_methods(default: str) -> Any:
    """The option of methods, where some are taken if none is named."""
    return typer.Option(
        help=f"Methods, with commas between. [default: {default}]",
        show_default=False,
    )


def matmul_precision(precision: Precision) -> Literal["high", "highest"] | None:
    """As JAX calls it, for which the default is none.

    Example:
      >>> matmul_precision("default"), matmul_precision("high")
      (None, 'high')
    """
    return None if precision == "default" else precision
