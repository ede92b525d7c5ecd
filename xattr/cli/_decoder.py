"""The commands `decoder train`, `decoder explain` and `decoder evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from xattr.cli._choices import for_command_line
from xattr.cli._console import fail
from xattr.cli._options import Arrays, Signed, Table

app = typer.Typer(
    help="Saliency decoders: networks that learn to say what another one looks at.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Argument(help="What `decoder train` has written.")]
WRONG = (FileNotFoundError, ImportError, TypeError, ValueError)


@app.command()
def train(
    data: Annotated[
        list[str],
        typer.Option(help="Folders of class folders, archives, or tfds:NAME/SPLIT."),
    ],
    config: Annotated[
        Path,
        typer.Option(help="Python file with `config = xattr.decoder.Config(...)`."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the decoder.")],
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write events too; tensorboardX.")
    ] = False,
) -> None:
    """Train a decoder for a network; call it again to go on after a break.

    Writes `losses.csv` and checkpoints as it goes on, and the decoder in the end. What
    is explained by it takes little more than a forward pass: `decoder explain`, or
    `--decoder DIR` of `explain`, `compare` and `run`.

    Exit code: 0 if all went well, 1 if a photograph was skipped, 2 if the call was
    wrong (nothing is written), 3 if reading or writing failed or the loss is not
    finite, 130 if interrupted.
    """
    from xattr.cli._decoder_training import train_decoder
    from xattr.decoder import read_config

    try:
        chosen = read_config(config)
    except WRONG as error:
        fail(error)
    try:
        code = train_decoder(data, chosen, out, tensorboard=tensorboard)
    except WRONG as error:
        fail(for_command_line(error, chosen.model).replace("`places`", "`--data`"))
    raise typer.Exit(code)


@app.command()
def explain(
    folder: Folder,
    paths: Annotated[
        list[str], typer.Argument(help="Photographs, as `explain` takes them.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path(
        "xattr-results"
    ),
    target: Annotated[
        str, typer.Option(help="`predicted`, or a class's index or name.")
    ] = "predicted",
    batch_size: Annotated[
        int, typer.Option(help="Photographs computed together: 1, 2, 4, … 256.")
    ] = 8,
    table: Table = "csv",
    signed: Signed = False,
    arrays: Arrays = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run's results.")
    ] = False,
) -> None:
    """Explain photographs by a trained decoder: pages, overlays, a table, the maps.

    The same as `explain --decoder DIR --method decoder` with the decoder's network.
    """
    from xattr.cli._decoder_folder import NAME, file_of, load_trained
    from xattr.cli._explain import explain as explain_by_methods

    try:
        _, about = load_trained(folder)
    except WRONG as error:
        fail(error)
    if ":" in about.get("model", ""):
        fail(
            f"{folder} is a decoder for {about['model']}; this command explains the "
            "package's own networks. Explain yours from Python: `decode(model, images, "
            f"decoder=load('{file_of(folder)}')[0])`, both of `xattr.decoder`."
        )
    file = about.get("weights_file")
    explain_by_methods(
        paths,
        model=about.get("model", "mobilenet_v2"),
        weights=None if file is None else Path(file),
        method=[NAME],
        target=target,
        decoder=folder,
        out=out,
        batch_size=batch_size,
        table=table,
        signed=signed,
        arrays=arrays,
        overwrite=overwrite,
    )


@app.command()
def evaluate(
    folder: Folder,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Photographs that it was not trained on. [default: those held out]"
        ),
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Other methods, with commas between.")
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with columns file, width, height, x0, y0, x1, y1: where the "
            "objects are, in pixels of the photograph."
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, help="Of the insertion and deletion curves.")
    ] = 28,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Photographs computed together.")
    ] = 8,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Most photographs. [default: all]")
    ] = None,
) -> None:
    """Measure masks on photographs that were held out, with two controls beside them.

    Prints, and writes to `evaluation.csv`, the means of average drop, gain and
    increase, insertion and deletion, the energy in boxes if there are any, the mean of
    the map scaled to [0, 1], and the time for an image, in milliseconds and in forward
    passes. The controls are a map that shows everything but one pixel, and a Gaussian
    in the middle. `differences.csv` has what the decoder has more than each of the
    others in the same photographs, with intervals of 95 %.
    """
    from xattr.cli._decoder_evaluating import evaluate_decoder

    try:
        evaluate_decoder(
            folder, data or (), against or (), boxes, steps, batch_size, limit
        )
    except WRONG as error:
        fail(error)
