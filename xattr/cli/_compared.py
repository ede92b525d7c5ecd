"""The report of a comparison: tables, gallery, page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xattr.cli._comparison_charts import draw_charts
from xattr.cli._console import LISTED, say, show_table
from xattr.cli._executing import SKIPPED
from xattr.cli._folder import write_whole

if TYPE_CHECKING:
    from xattr.compare import Comparison, Results, Times
    from xattr.data import Source
    from xattr.render import Chart, Example
    from xattr.run import Place

RESULTS, COSTS, PAGE = "results.csv", "costs.csv", "index.html"
CURVES = "curves.csv"
SHOWN = 12


def report_comparison(
    comparison: "Comparison",
    source: "Source",
    out: str,
    times: "Times",
    passes: Mapping[str, Mapping[str, float]],
) -> int:
    """Write tables, figures and the page of a finished comparison; the exit code."""
    from xattr.compare import curves_csv, read_results, results_csv
    from xattr.run import Place

    place = Place(out)
    results = read_results(comparison, place)
    seconds = {
        name: times.methods[name] / min(comparison.plan.tile_size, len(source))
        for name in comparison.methods
        if name in times.methods
    }
    place.write(RESULTS, results_csv(comparison, results))
    if results.curves:
        place.write(CURVES, curves_csv(results))
    place.write(COSTS, _costs(comparison, seconds, passes))
    _show(comparison, results)
    _say_skipped(comparison, results, place)
    if place.is_local:
        folder = Path(out)
        charts = draw_charts(comparison, results, seconds, folder)
        examples = _examples(comparison, results, source, place)
        text = _page(comparison, results, seconds, len(source), charts, examples)
        write_whole(folder / PAGE, lambda file: file.write(text.encode()))
        say(f"Page:  {folder / PAGE}")
    else:
        say("Figures and pages are written to local folders only.", error=True)
    say(f"Table: {out.rstrip('/')}/{RESULTS}")
    return 0 if results.seen.all() else SKIPPED


def _show(comparison: "Comparison", results: "Results") -> None:
    """The means as a table."""
    arrows = {"higher": "↑", "lower": "↓"}
    heads = [f"{m} {arrows[row.better]}" for m, row in comparison.metrics.items()]
    show_table(
        ("", *heads),
        (
            (
                name,
                *(_short(results.estimates[name][m].mean) for m in comparison.metrics),
            )
            for name in comparison.methods
        ),
    )


def _say_skipped(comparison: "Comparison", results: "Results", place: "Place") -> None:
    """Name the first photographs without values, and why each was skipped."""
    from xattr.compare import maps_place
    from xattr.run import open_run

    skipped = np.flatnonzero(~results.seen).tolist()
    if not skipped:
        return
    run = open_run(maps_place(place, comparison.methods[0]).address)
    reasons = run.rows(columns=["reason"])["reason"]
    for k in skipped[:LISTED]:
        say(f"Skipped: {results.files[k]}: {reasons[k].as_py()}", error=True)
    if len(skipped) > LISTED:
        say(f"Skipped: {len(skipped) - LISTED} more", error=True)


def _short(value: float) -> str:
    """A number, or nothing for none.

    Example:
      >>> _short(0.12345), _short(float("nan"))
      ('0.123', '')
    """
    return f"{value:.3g}" if np.isfinite(value) else ""


def _costs(
    comparison: "Comparison",
    seconds: Mapping[str, float],
    passes: Mapping[str, Mapping[str, float]],
) -> bytes:
    """What methods cost; seconds differ from run to run, and so stand apart."""
    lines = ["method,passes_per_photograph,seconds_per_photograph"]
    for name in comparison.methods:
        spent = f"{seconds[name]:.6g}" if name in seconds else ""
        lines.append(f"{name},{passes['methods'][name]:.6g},{spent}")
    return ("\n".join(lines) + "\n").encode()


def _examples(
    comparison: "Comparison", results: "Results", source: "Source", place: Any
) -> list["Example"]:
    """The photographs that methods disagree about most."""
    from xattr.compare import maps_place
    from xattr.data import load_tiles
    from xattr.render import Example, Layer, embed, overlay
    from xattr.run import open_run

    apart = np.nan_to_num(results.disagreement, nan=-np.inf)
    chosen = [int(k) for k in np.argsort(-apart, kind="stable")[:SHOWN]]
    chosen = [k for k in chosen if np.isfinite(results.disagreement[k])]
    preprocess = comparison.plan.preprocess
    loaded = load_tiles(
        source, chosen, tile_size=1, transform=preprocess.pixels, size=preprocess.size
    )
    runs = {
        name: open_run(maps_place(place, name).address) for name in comparison.methods
    }
    labels = next(iter(runs.values())).rows(columns=["target_label"])["target_label"]

    def layer(name: str, photo: np.ndarray, record: int) -> Layer:
        try:
            drawn = overlay(photo, runs[name].maps[name][record], signed=False)
        except ValueError:
            return Layer(name, None, "the map is all zero or not finite")
        return Layer(name, embed(drawn))

    return [
        Example(
            tile.records[0].name,
            embed(tile.images[0]),
            [layer(name, tile.images[0], record) for name in comparison.methods],
            float(results.disagreement[record]),
            labels[record].as_py() or "",
        )
        for record, tile in zip(chosen, loaded, strict=True)
    ]


def _page(
    comparison: "Comparison",
    results: "Results",
    seconds: Mapping[str, float],
    count: int,
    charts: Sequence["Chart"],
    examples: Sequence["Example"],
) -> str:
    from xattr import render

    plan = comparison.plan
    columns = [
        render.Column(name, name.replace("_", " "), row.better, about=row.summary)
        for name, row in comparison.metrics.items()
    ]
    rows = [
        render.Row(
            name,
            plan.methods[name].family,
            seconds.get(name),
            {m: _cell(comparison, results, name, m) for m in comparison.metrics},
        )
        for name in comparison.methods
    ]
    head = render.ComparisonHead(
        model=plan.pretrained.name,
        data=f"{count} photographs",
        num_images=int(results.seen.sum()),
        facts=[
            ("Budget", comparison.budget.name),
            ("Explained class", str(plan.target)),
            ("Site", plan.site if plan.reads_site else "none"),
            ("Seed", str(plan.seed)),
            ("Photographs in a tile", str(plan.tile_size)),
        ],
        hyperparameters=[*_settings(comparison)],
        disagreement="One less the mean rank correlation of two methods' maps, on a "
        "grid of 14 by 14 cells.",
    )
    return render.comparison_page(head, columns, rows, charts=charts, examples=examples)


def _settings(comparison: "Comparison"):
    """Name and hyperparameters of each method and metric."""
    from xattr.run._described import method_settings

    for name, found in comparison.common["methods"].items():
        yield name, _listed(found)
    for name, row in comparison.metrics.items():
        yield name, _listed(method_settings(row.function, comparison.settings(name)))


def _listed(settings: Mapping[str, Any]) -> str:
    """Hyperparameters on one line.

    Example:
      >>> _listed({"function": "f", "num_steps": 8, "chunk_size": None})
      'num_steps=8'
    """
    left_out = ("function", "chunk_size")
    given = {k: v for k, v in settings.items() if k not in left_out and v is not None}
    return ", ".join(f"{k}={_told(v)}" for k, v in given.items())


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("function", "…")).split(".")[-1]
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _cell(comparison: "Comparison", results: "Results", method: str, metric: str):
    from xattr.render import Cell

    e = results.estimates[method][metric]
    if np.isfinite(e.mean):
        return Cell(e.mean, e.low, e.high, e.num)
    row = comparison.metrics[metric]
    if row.annotated and not comparison.annotations:
        return Cell(None, reason="no boxes or masks were given")
    if row.takes == "boxes" and not comparison.annotations.num_boxed:
        return Cell(None, reason="no boxes were given")
    return Cell(None, reason="not defined for any of these maps")
