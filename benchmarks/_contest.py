"""Ours against a peer in both of its layouts: times, maps and memory, as rows."""

import argparse
import contextlib
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import _report
from benchmarks._timing import THREADS, limit_threads, measured, ratio
from benchmarks._worker import Build, Settings, Worker

OURS, FORWARD = "ours", "forward pass"
_LAYOUTS = ("default", "channels-last")
_MIB = 2**20


class Contest(NamedTuple):
    """One row: a method on a network, here and there.

    Attributes:
      network: name of the network.
      method: the method and its settings, for people.
      peer: whose is on the other side.
      ours: how our side is prepared.
      theirs: how the peer's is, without its layout.
      batch: images at once.
      rounds: turns of each candidate.
      least: claimed ratio of the peer's time, in its default layout, to ours.
      least_best: the same in the layout that suits it best.
      most_forward: claimed ratio of our time to the forward pass.
      most_difference: claimed difference of the maps, as a share of the largest value.
      random: maps are drawn, so that there is nothing to compare.
      same: maps are of the same method; otherwise there is nothing to compare either.
      layouts: of the peer; or the peers themselves, where `varied` says so.
      varied: the option of theirs that takes them.
      warm: run once before the clock; off where a run takes minutes.
      quick: options in a smoke run; `network` among them.
    """

    network: str
    method: str
    peer: str
    ours: Build
    theirs: Build
    batch: int = 1
    rounds: int = 5
    least: float | None = None
    least_best: float | None = None
    most_forward: float | None = None
    most_difference: float | None = None
    random: bool = False
    same: bool = True
    layouts: tuple[str, ...] = _LAYOUTS
    varied: str = "layout"
    warm: bool = True
    quick: Mapping[str, Any] = {}


def main(
    name: str, claim: str, description: str | None, contests: Sequence[Contest]
) -> int:
    """Measure the contests, print and write them; 1 where the claim does not hold."""
    given = arguments(description).parse_args()
    limit_threads(given.threads)
    # Several processes share an accelerator.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    settings = Settings(
        given.data.resolve(), given.dtype, given.tf32, given.torch_compile, given.quick
    )
    chosen = [
        _quick(contest) if given.quick else contest
        for contest in contests
        if given.only in f"{contest.network} {contest.method}"
    ]
    if not chosen:
        raise SystemExit(f"`--only {given.only}` leaves nothing of {name}.")
    rows = [_row(contest, settings, given) for contest in chosen]
    # Less than the whole file, or no figures at all: not among the results.
    apart = given.quick or given.only
    title = f"SMOKE RUN, no figures: {claim}" if given.quick else claim
    _report.table(title, shown(rows))
    holds = all(row["holds"] is not False for row in rows)
    path = _report.write(
        name,
        claim,
        holds=holds,
        out=given.out or (Path(tempfile.mkdtemp()) / f"{name}.json" if apart else None),
        settings={
            "threads": given.threads,
            "dtype": given.dtype,
            "tf32": given.tf32,
            "torch.compile": given.torch_compile,
            "quick": given.quick,
            "parameters": "arguments of the compiled functions",
            "ratios": "medians over the rounds of one time over the other",
            "agreement": "max |ours - theirs| / max |theirs|, the largest of images",
            "memory": "peak resident set while it runs, less that of the loaded network"
            "; on an accelerator, bytes allocated",
        },
        rows=rows,
    )
    print(f"Written to {path}.")
    return 0 if holds else 1


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return the options of a contest."""
    parser = _report.arguments(description)
    parser.add_argument("--only", default="", help="part of `network method`")
    parser.add_argument("--quick", action="store_true", help="smoke run, no figures")
    parser.add_argument("--rounds", type=int, help="turns of each candidate")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--tf32", action="store_true", help="on both sides")
    parser.add_argument(
        "--torch-compile", action="store_true", help="the peer's network"
    )
    parser.add_argument("--peak-tflops", type=float, help="what the device can do")
    return parser


def shown(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as people read them; the share of the peak where it was asked for."""
    share = "forward pass, share of peak"
    heads = _CELLS | ({share: share} if any(share in row for row in rows) else {})
    return [_shown(row, heads) for row in rows]


def _shown(row: Mapping[str, Any], heads: Mapping[str, str]) -> dict[str, Any]:
    if "error" in row:
        cells = dict.fromkeys(heads, "")
        return {**_named(row), **cells, "claim": row["claim"], "holds": False}
    cells = {head: row.get(key) for head, key in heads.items()}
    plain = {head: "" if cell is None else cell for head, cell in cells.items()}
    return {**_named(row), **plain}


# Heads of the table -> keys of the rows.
_CELLS = {
    "ours, ms": "ours, ms per image",
    "peer, ms": "default, ms per image",
    "ch.-last, ms": "channels-last, ms per image",
    "peer / ours": "default / ours",
    "best / ours": "best / ours",
    "ours / forward": "ours / forward pass",
    "maps differ by": "agreement",
    "ours, MiB": "ours, MiB",
    "peer, MiB": "default, MiB",
    "claim": "claim",
    "holds": "holds",
}


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("network", "method", "peer")}


def _quick(contest: Contest) -> Contest:
    """The same at a size that only shows that it runs."""
    options = dict(contest.quick)
    network = options.pop("network", contest.network)
    ours, theirs = (
        side._replace(options={**side.options, **options})
        for side in (contest.ours, contest.theirs)
    )
    batch = min(contest.batch, 2)
    return contest._replace(
        network=network, ours=ours, theirs=theirs, batch=batch, rounds=1
    )


def _row(
    contest: Contest, settings: Settings, given: argparse.Namespace
) -> dict[str, Any]:
    """Measure one contest; what fails stays as a row that says so."""
    row = {
        "network": contest.network,
        "method": contest.method,
        "peer": contest.peer,
        "images": contest.batch,
        "claim": _claim(contest),
        "least": contest.least,
        "least_best": contest.least_best,
    }
    print(f"{contest.network}, {contest.method} against {contest.peer} ...", flush=True)
    try:
        rounds = given.rounds or contest.rounds
        with _workers(contest, settings) as workers:
            found = _measure(contest, workers, rounds)
    except RuntimeError as error:
        print(error)
        return {**row, "error": str(error), "holds": False}
    if given.peak_tflops:
        rate = (
            found["flops"] * 1000 / contest.batch / found["forward pass, ms per image"]
        )
        found["forward pass, share of peak"] = rate / given.peak_tflops / 1e12
    return {**row, **found, "holds": None if settings.quick else _holds(contest, found)}


@contextlib.contextmanager
def _workers(contest: Contest, settings: Settings) -> Iterator[dict[str, Worker]]:
    """A process for each candidate."""
    builds = {OURS: contest.ours}
    for layout in contest.layouts:
        options = dict(contest.theirs.options)
        if len(contest.layouts) > 1:
            options[contest.varied] = layout
        builds[layout] = contest.theirs._replace(options=options)
    workers = {
        name: Worker(build, settings, contest.network, contest.batch)
        for name, build in builds.items()
    }
    try:
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def _measure(
    contest: Contest, workers: Mapping[str, Worker], rounds: int
) -> dict[str, Any]:
    for worker in workers.values():
        worker.send("prepare")
    for worker in workers.values():
        worker.answer()
    # One after the other: they look at the clock.
    facts = {name: worker.ask("tune") for name, worker in workers.items()}
    _check_equal(facts)
    if contest.warm:
        for worker in workers.values():
            worker.ask("warm")
    workers[OURS].ask("forward")
    runs = {name: _asking(worker, "run") for name, worker in workers.items()}
    runs[FORWARD] = _asking(workers[OURS], "forward")
    seconds = measured(runs, rounds)
    peaks = {name: worker.ask("peak") for name, worker in workers.items()}
    ratios = {
        f"{layout} / ours": ratio(seconds, layout, OURS) for layout in contest.layouts
    }
    return {
        "rounds": rounds,
        **{
            f"{name}, ms per image": 1000 * statistics.median(taken) / contest.batch
            for name, taken in seconds.items()
        },
        "images per second": contest.batch / statistics.median(seconds[OURS]),
        **ratios,
        "best / ours": min(ratios.values()),
        "ours / forward pass": ratio(seconds, OURS, FORWARD),
        "agreement": _agreement(contest, workers),
        **{f"{name}, MiB": peak / _MIB for name, peak in peaks.items()},
        "device": facts[OURS]["device"],
        "flops": facts[OURS]["flops"],
        "our settings": _settings(facts[OURS]),
        "peer's settings": {
            layout: _settings(facts[layout]) for layout in contest.layouts
        },
        "seconds": seconds,
    }


def _settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What of a candidate's facts is its own choice."""
    shared = ("classes", "device", "flops")
    return {key: value for key, value in facts.items() if key not in shared}


def _asking(worker: Worker, what: str):
    return lambda: worker.ask(what)


def _check_equal(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise if the sides explain other classes, or run on other devices."""
    for key in ("classes", "device"):
        found = {name: fact[key] for name, fact in facts.items()}
        if len(set(map(str, found.values()))) > 1:
            raise RuntimeError(f"the sides differ in their {key}: {found}")


def _agreement(contest: Contest, workers: Mapping[str, Worker]) -> float | str | None:
    if contest.random:
        return "random"
    return _difference(workers) if contest.same else None


def _difference(workers: Mapping[str, Worker]) -> float:
    """Largest difference from the peer's default layout, over its largest value."""
    candidates = workers[OURS].ask("maps")
    (theirs,) = next(w for n, w in workers.items() if n != OURS).ask("maps")[:1]
    scale = np.abs(theirs).reshape(len(theirs), -1).max(1)
    differences = [
        np.abs(ours - theirs).reshape(len(theirs), -1).max(1) / scale
        for ours in candidates
    ]
    # Where the sign is open, it is so for each image.
    return float(np.min(differences, axis=0).max())


def _claim(contest: Contest) -> str:
    parts = [
        (contest.least, "≥ {:g} ×"),
        (contest.least_best, "best ≥ {:g} ×"),
        (contest.most_forward, "≤ {:g} forward"),
    ]
    return ", ".join(text.format(value) for value, text in parts if value is not None)


def _holds(contest: Contest, found: Mapping[str, Any]) -> bool | None:
    """Whether what is claimed is so; None where nothing is."""
    first = f"{contest.layouts[0]} / ours"
    held = [
        found[key] >= least
        for key, least in ((first, contest.least), ("best / ours", contest.least_best))
        if least is not None
    ]
    if contest.most_forward is not None:
        held.append(found["ours / forward pass"] <= contest.most_forward)
    if contest.most_difference is not None:
        held.append(found["agreement"] <= contest.most_difference)
    return all(held) if held else None
