"""Tables of a comparison: means with bootstrap intervals."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from xattr.compare._comparison import Comparison, scores_place
from xattr.compare._execute import AGREEMENT, CURVE
from xattr.run import Place, open_run

_RESAMPLINGS = 1000


class Estimate(NamedTuple):
    """A mean over photographs.

    Attributes:
      mean: NaN if there is no value.
      low: lower end of the interval of 95 %.
      high: its upper end.
      num: photographs with a value.
    """

    mean: float
    low: float
    high: float
    num: int


class Results(NamedTuple):
    """What a comparison found.

    Attributes:
      estimates: by method and metric.
      curves: mean curve by metric and method, for those metrics that have curves.
      agreement: mean rank correlation of every two methods' maps.
      disagreement: of each photograph, NaN where there is none.
      files: names of the photographs.
      seen: whether each could be read.
    """

    estimates: Mapping[str, Mapping[str, Estimate]]
    curves: Mapping[str, Mapping[str, np.ndarray]]
    agreement: Float[np.ndarray, "k k"]
    disagreement: Float[np.ndarray, " n"]
    files: Sequence[str]
    seen: Bool[np.ndarray, " n"]


def estimate(
    values: Float[np.ndarray, " n"], *, over_data: Any = None, seed: int = 0
) -> Estimate:
    """Mean of values and its interval of 95 %, by the percentile bootstrap.

    Photographs are drawn with replacement, the same ones for the same number of them
    and seed, so that two methods' intervals come from the same draws.

    Args:
      values: one per photograph, or a row each for `over_data`; those that are not
        finite do not count.
      over_data: what is computed of all rows in place of the mean.
      seed: of the draws.

    Example:
      >>> estimate(np.array([1.0, 1.0, np.nan]))
      Estimate(mean=1.0, low=1.0, high=1.0, num=2)
    """
    known = values[np.isfinite(values.reshape(len(values), -1)).all(1)]
    if not len(known):
        nan = float("nan")
        return Estimate(nan, nan, nan, 0)
    of = over_data or (lambda rows: float(np.mean(rows)))
    rng, num = np.random.default_rng(seed), len(known)
    means = [of(known[rng.integers(num, size=num)]) for _ in range(_RESAMPLINGS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(of(known), float(low), float(high), num)


def read_results(comparison: Comparison, place: Place) -> Results:
    """Everything that a finished comparison's scores say."""
    estimates: dict[str, dict[str, Estimate]] = {m: {} for m in comparison.methods}
    curves: dict[str, dict[str, np.ndarray]] = {}
    for metric, row in comparison.metrics.items():
        table = open_run(scores_place(place, metric).address).rows()
        for method in comparison.methods:
            values = _column(table[method])
            bent = _rows(table[f"{method}{CURVE}"])
            if bent is not None:
                curves.setdefault(metric, {})[method] = _nan_mean(bent)
            over = row.over_data
            estimates[method][metric] = estimate(
                values if over is None or bent is None else bent,
                over_data=None if bent is None else over,
                seed=comparison.plan.seed,
            )
    table = open_run(scores_place(place, AGREEMENT).address).rows()
    count = len(comparison.methods)
    found = _rows(table[AGREEMENT])
    agreement = np.full((count, count), np.nan)
    if found is not None:
        agreement = _nan_mean(found.reshape(-1, count, count))
    return Results(
        estimates,
        curves,
        agreement,
        _column(table["disagreement"]),
        table["file"].to_pylist(),
        np.array([v is not None for v in table[AGREEMENT].to_pylist()]),
    )


def _column(column: Any) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in column.to_pylist()])


def _rows(column: Any) -> np.ndarray | None:
    """Lists as rows, NaN for what is not there; None if nothing is."""
    lists = column.to_pylist()
    length = next((len(v) for v in lists if v is not None), None)
    if length is None:
        return None
    return np.array([[np.nan] * length if v is None else v for v in lists])


def results_csv(comparison: Comparison, results: Results) -> bytes:
    """One line per method and metric."""
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["method", "metric", "better", "mean", "low", "high", "count"])
    for method in comparison.methods:
        for metric, row in comparison.metrics.items():
            e = results.estimates[method][metric]
            numbers = [f"{v:.6g}" if np.isfinite(v) else "" for v in e[:3]]
            out.writerow([method, metric, row.better, *numbers, e.num])
    return text.getvalue().encode()


def curves_csv(results: Results) -> bytes:
    """One line per method, metric that has a curve, and place along it, from 0."""
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["method", "metric", "place", "mean"])
    for metric, curves in results.curves.items():
        for method, curve in curves.items():
            for place, mean in enumerate(curve):
                number = f"{mean:.6g}" if np.isfinite(mean) else ""
                out.writerow([method, metric, place, number])
    return text.getvalue().encode()


def _nan_mean(rows: np.ndarray) -> np.ndarray:
    """The mean of what is finite in each place; NaN where nothing is."""
    known = np.isfinite(rows)
    total = np.where(known, rows, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)
