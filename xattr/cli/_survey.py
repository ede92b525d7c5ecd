"""Figures of a whole run, from a few columns of its rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xattr.cli._console import LISTED
from xattr.render import MapCounts, Summary

if TYPE_CHECKING:
    from xattr.run import Run

BINS = 20
MOST_FREQUENT = 12
_SHARDS = 64
_COLUMNS = ("file", "status", "reason", "target_label", "target_probability")
_COLUMNS += ("prediction", "prediction_label", "probability")


@dataclass
class Survey:
    """What is known of a run as a whole.

    Attributes:
      num_rows: records that have rows.
      num_records: records of the run.
      problems: places that were no records, and why.
      statuses: how many records are ok, skipped, faulty.
      spoiled: whether something was skipped, failed or is not finite.
      skipped: the first of those, with their reasons.
      faults: the first maps that cannot be drawn.
      target_label: name of the class that the first record explains.
      probabilities: how many explained classes have a probability in each bin.
      predictions: how often each class is the most probable.
      maps: how each method's maps are.
    """

    num_rows: int
    num_records: int
    problems: Sequence[Sequence[str]]
    statuses: Counter[str] = field(default_factory=Counter)
    spoiled: bool = False
    skipped: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    num_faults: int = 0
    target_label: str = ""
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros(BINS, int))
    predictions: Counter[tuple[int, str]] = field(default_factory=Counter)
    maps: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def num_skipped(self) -> int:
        """Records and places that gave nothing."""
        return self.statuses["skipped"] + len(self.problems)

    def summary(self) -> Summary:
        """What the first page shows."""
        return Summary(
            statuses=[(kind, self.statuses[kind]) for kind in _KINDS],
            probabilities=self.probabilities.tolist(),
            predictions=[
                (label, n)
                for (_, label), n in self.predictions.most_common(MOST_FREQUENT)
            ],
            num_predicted=len(self.predictions),
            maps=[
                MapCounts(
                    method=name,
                    drawn=counts["drawn"],
                    zero=counts["zero"],
                    not_finite=counts["not finite"],
                    failed=counts["failed"],
                )
                for name, counts in self.maps.items()
            ],
        )


_KINDS = ("ok", "faulty", "skipped")


def survey(run: "Run", shards: Sequence[int]) -> Survey:
    """Count what some shards hold, some dozens of them at a time."""
    size = run.settings["shard_size"]
    problems = run.about.get("source", {}).get("problems", ())
    found = Survey(
        num_rows=sum(min(size, len(run) - shard * size) for shard in shards),
        num_records=len(run),
        problems=problems,
        spoiled=bool(problems),
        skipped=[f"{name}: {reason}" for name, reason in problems[:LISTED]],
        maps={name: Counter() for name in run.methods},
    )
    columns = [*_COLUMNS, *(f"{name}_max" for name in run.methods)]
    for start in range(0, len(shards), _SHARDS):
        part = run.rows(columns=columns, shards=shards[start : start + _SHARDS])
        _count(found, {name: part[name].to_pylist() for name in columns})
    return found


def kind_of(status: str) -> str:
    """What a status counts as."""
    return status if status in ("ok", "skipped") else "faulty"


def faults_of(status: str) -> dict[str, str]:
    """What is wrong with which method's map.

    Example:
      >>> faults_of("rise: all zero; lime: failed"), faults_of("skipped")
      ({'rise': 'all zero', 'lime': 'failed'}, {})
    """
    parts = [part.partition(": ") for part in status.split("; ")]
    return {method: state for method, mark, state in parts if mark}


def is_spoiled(status: str) -> bool:
    """Whether a record was skipped, or a map failed or is not finite.

    Example:
      >>> [is_spoiled(text) for text in ("ok", "rise: all zero", "rise: failed")]
      [False, False, True]
    """
    return status == "skipped" or bool(set(faults_of(status).values()) - {"all zero"})


def _count(found: Survey, columns: dict[str, list[Any]]) -> None:
    """Add some rows to the figures."""
    states = columns["status"]
    found.statuses.update(map(kind_of, states))
    for file, status, reason in zip(
        columns["file"], states, columns["reason"], strict=True
    ):
        if status == "ok":
            continue
        _list(found, file, status, reason or "")
    explained = [k for k, status in enumerate(states) if status != "skipped"]
    if explained and not found.target_label:
        found.target_label = columns["target_label"][explained[0]] or ""
    likely = _numbers(columns["target_probability"])
    found.probabilities += np.histogram(
        likely[np.isfinite(likely)], bins=BINS, range=(0, 1 + 1e-6)
    )[0]
    best = _numbers(columns["probability"])
    found.predictions.update(
        (columns["prediction"][k], columns["prediction_label"][k])
        for k in explained
        if np.isfinite(best[k])
    )
    for name, counts in found.maps.items():
        largest = [columns[f"{name}_max"][k] for k in explained]
        counts["failed"] += sum(value is None for value in largest)
        sizes = _numbers([value for value in largest if value is not None])
        counts["zero"] += int((sizes == 0).sum())
        counts["not finite"] += int((~np.isfinite(sizes)).sum())
        counts["drawn"] += int((np.isfinite(sizes) & (sizes > 0)).sum())


def _list(found: Survey, file: str, status: str, reason: str) -> None:
    """Note what is wrong with a record."""
    found.spoiled |= is_spoiled(status)
    if status == "skipped":
        if len(found.skipped) < LISTED:
            found.skipped.append(f"{file}: {reason}")
        return
    for method, state in faults_of(status).items():
        found.num_faults += 1
        if len(found.faults) < LISTED:
            end = f"failed ({reason})" if state == "failed" else f"is {state}"
            found.faults.append(f"{file}: {method} {end}")


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    """As numbers, nothing as not a number."""
    return np.array([np.nan if v is None else v for v in values], np.float64)
