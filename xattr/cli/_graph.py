"""The commands `graph fit`, `graph show` and `graph evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from xattr.cli._choices import for_command_line
from xattr.cli._console import fail
from xattr.cli._options import AnyModel, Seed, Size, Weights

app = typer.Typer(
    help="Explanatory graphs: the parts that a network's channels tell of.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Folder = Annotated[Path, typer.Argument(help="What `graph fit` has written.")]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Photographs that are read together.")
]


@app.command()
def fit(
    data: Annotated[
        list[str],
        typer.Option(help="Photographs of one category, each cut to its object."),
    ],
    negatives: Annotated[
        list[str],
        typer.Option(help="Photographs of anything else, some hundred of them."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the graph.")],
    model: AnyModel = "mobilenet_v2",
    weights: Weights = None,
    size: Size = None,
    sites: Annotated[
        str | None,
        typer.Option(
            help="Sites with commas between, the top one first. "
            "[default: the last values before a ReLU at the three coarsest grids]"
        ),
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, help="Of each layer.")] = 20,
    parents: Annotated[int, typer.Option(min=1, help="Edges of each node.")] = 15,
    tau: Annotated[
        float, typer.Option(help="Density of what no node explains, a share.")
    ] = 0.1,
    cut: Annotated[
        bool,
        typer.Option(
            "--cut/--stretch",
            help="Cut the middle of each photograph, or stretch it to a square.",
        ),
    ] = False,
    batch_size: BatchSize = 16,
    seed: Seed = 0,
) -> None:
    """Learn an explanatory graph; call it again to go on after a break.

    Reads how much each unit varies over the negatives, then the activations of the
    photographs, and learns layer by layer from the top. What is finished is kept: the
    statistics, the features, each layer.

    Exit code: 0 if all went well, 1 if a photograph was skipped, 2 if the call was
    wrong (nothing is written) or too few photographs could be read, 3 if reading or
    writing failed, 130 if interrupted.
    """
    from xattr.cli._graph_fitting import Request, fit_graph

    request = Request(
        data=tuple(data),
        negatives=tuple(negatives),
        model=model,
        weights=weights,
        size=size,
        sites=None if sites is None else tuple(s.strip() for s in sites.split(",")),
        iterations=iterations,
        parents=parents,
        tau=tau,
        cut=cut,
        batch_size=batch_size,
        seed=seed,
    )
    try:
        code = fit_graph(request, out)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model))
    raise typer.Exit(code)


@app.command()
def show(
    folder: Folder,
    nodes: Annotated[
        int, typer.Option(min=1, help="Of the top layer, on the page.")
    ] = 24,
) -> None:
    """Draw a graph: a page to walk it, and figures for a paper.

    Writes `index.html`, `patches.png`, `heat.png` and `subgraph.png` beside the graph.
    """
    from xattr.cli._graph_showing import show_graph

    try:
        show_graph(folder, nodes)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(error)


@app.command()
def evaluate(
    folder: Folder,
    data: Annotated[
        list[str], typer.Option(help="Photographs that the graph was not learnt from.")
    ],
    landmarks: Annotated[
        Path,
        typer.Option(
            help="CSV file with columns file, width, height, part, x, y: where parts "
            "are, in pixels of the photograph; no row for what is not visible."
        ),
    ],
    draws: Annotated[
        int, typer.Option(min=1, help="Of the bootstrap, for the intervals.")
    ] = 200,
    batch_size: BatchSize = 16,
) -> None:
    """Measure how well nodes keep to parts, against the raw peaks of the channels.

    Prints, and writes to `evaluation.csv`, for each layer: location instability under
    both selections and both protocols with its interval and its ratio to that of the
    raw peaks, part purity, and the share of the activation that nodes explain.
    """
    from xattr.cli._graph_evaluating import evaluate_graph

    try:
        evaluate_graph(folder, data, landmarks, draws, batch_size)
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(error)
