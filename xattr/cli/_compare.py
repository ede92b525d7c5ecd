"""The command `compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xattr.cli._choices import choose_methods, for_command_line
from xattr.cli._configuration import hyperparameters
from xattr.cli._console import LISTED, fail, say
from xattr.cli._decoder_folder import decoder_of, with_decoder
from xattr.cli._executing import SKIPPED
from xattr.cli._folder import check_comparison_folder
from xattr.cli._options import Decoder, Model, Precision, Seed, Site, Weights

if TYPE_CHECKING:
    from xattr.compare import Comparison
    from xattr.data import Source

DEFAULT_METHODS = (
    "gradient,input_x_gradient,smoothgrad,integrated_gradients,guided_backprop,"
    "deconvnet,lrp,deeplift,grad_cam,grad_cam_plus_plus,hires_cam,layer_cam,"
    "eigen_cam,score_cam,occlusion,rise"
)
DEFAULT_METRICS = (
    "deletion,insertion,road,average_drop,average_increase,faithfulness_correlation,"
    "pointing_game,energy_pointing_game,max_sensitivity,parameter_randomization,"
    "random_logit,gini"
)


def compare(
    data: Annotated[
        list[str],
        typer.Option(help="Files, folders, globs, archives, or tfds:NAME/SPLIT."),
    ],
    out: Annotated[str, typer.Option(help="Folder for the results.")],
    methods: Annotated[
        list[str] | None,
        typer.Option("--methods", "--method", help="Methods, with commas between."),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metrics", "--metric", help="Metrics, with commas between; or all."
        ),
    ] = None,
    budget: Annotated[
        Literal["quick", "paper"],
        typer.Option(help="How much is computed: few evaluations, or the papers'."),
    ] = "quick",
    model: Model = "mobilenet_v2",
    weights: Weights = None,
    labels: Annotated[
        str | None,
        typer.Option(help="`folders`, or a CSV file with columns file and label."),
    ] = None,
    target: Annotated[
        str, typer.Option(help="`predicted`, `label`, or a class's index or name.")
    ] = "predicted",
    boxes: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with columns file, width, height, x0, y0, x1, y1: where the "
            "objects are, in pixels of the photograph."
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of masks, named as the photographs."),
    ] = None,
    site: Site = None,
    decoder: Decoder = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="A hyperparameter: rise.num_masks=1000."),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Photographs computed together: 1, 2, 4, … 256."),
    ] = None,
    seed: Seed = 0,
    precision: Precision = "default",
    only_cost: Annotated[
        bool, typer.Option("--only-cost", help="Count evaluations, and end.")
    ] = False,
) -> None:
    """Compare methods by metrics over a data set; call it again to go on.

    Prints how many evaluations every method and metric needs, computes a first tile of
    everything, foretells the time, and goes on. Ends with `results.csv`, figures and
    `index.html`: a table with bootstrap intervals, and the photographs that methods
    disagree about most. A missing box or mask leaves only the metrics empty that need
    it.

    Exit code: 0 if all went well, 1 if an image was skipped, 2 if the call was wrong
    (nothing is written), 3 if the disk or the memory is full, 130 if interrupted.
    """
    from xattr.cli._comparing import run_comparison
    from xattr.data import open_source

    try:
        if "://" not in out:
            check_comparison_folder(Path(out))
        source = open_source(data, labels=labels, leave_out=out)
        if not len(source):
            raise ValueError(f"`--data` {' '.join(data)} holds no image.")
        comparison = _comparison(
            source,
            methods or [DEFAULT_METHODS],
            metrics or [DEFAULT_METRICS],
            budget,
            boxes,
            masks,
            option or [],
            model=model,
            weights=weights,
            target=target,
            site=site,
            decoder=decoder,
            batch_size=_batch_size(len(source)) if batch_size is None else batch_size,
            seed=seed,
            precision=precision,
        )
    except (ImportError, OSError, TypeError, ValueError) as error:
        fail(for_command_line(error, model))
    code = run_comparison(comparison, source, out, data=data, only_cost=only_cost)
    problems = getattr(source, "problems", ())
    for problem in problems[:LISTED]:
        say(f"Skipped: {problem.path}: {problem.reason}", error=True)
    raise typer.Exit(code or (SKIPPED if problems else 0))


def _comparison(
    source: "Source",
    methods: list[str],
    metrics: list[str],
    budget: Literal["quick", "paper"],
    boxes: Path | None,
    masks: Path | None,
    settings: list[str],
    *,
    model: str,
    decoder: Path | None,
    **options,
) -> "Comparison":
    """What was typed, checked as far as it can be before anything is computed."""
    from xattr.cli._planning import plan_from_options
    from xattr.cli.methods import METHODS
    from xattr.compare import BUDGETS, METRICS, Annotations, Comparison

    typed = [name.strip().casefold() for name in metrics]
    measured = metrics if typed != ["all"] else list(METRICS)
    rows = choose_methods(measured, METRICS, option="--metrics", kind="metric")
    decoder = decoder_of(methods, decoder, model)
    chosen = choose_methods(
        methods, with_decoder(METHODS, decoder, model), option="--methods"
    )
    plan = plan_from_options(
        list(chosen),
        num_records=256,
        model=model,
        decoder=decoder,
        has_labels=True,
        options=BUDGETS[budget].options(chosen, hyperparameters({}, settings)),
        **options,
    )
    annotations = Annotations(boxes, masks)
    if annotations:
        annotations.check(source[k].name for k in range(len(source)))
    return Comparison(plan, rows, BUDGETS[budget], annotations)


def _batch_size(num_records: int) -> int:
    """Few enough that a first tile is no more than a quarter of all.

    Example:
      >>> _batch_size(5), _batch_size(16), _batch_size(1000)
      (1, 4, 8)
    """
    return min(8, 1 << max(num_records // 4, 1).bit_length() - 1)
