"""Every comparison with a peer, one after the other, as one table and one figure.

    make bench DATA=DIR

Hardware: 2 cores with nothing else running on them. Time: about half an hour. The same
on a GPU, where the environment has JAX and torch for it: `--dtype bfloat16`, `--tf32`,
`--torch-compile`, and `--peak-tflops` for the share of the device's peak.

Runs each of `NAMES` in a process of its own, with the options given here; each writes
`results/<name>.json`. Then prints what they found as one table and draws
`results/bench.png`; `--out` names another folder for all of it. `--quick` shows that
everything runs, and `--only` measures some rows: both write elsewhere. `--draw` draws
and prints what is there already. The exit code is 1 where a claim does not hold.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _report
from benchmarks._contest import arguments, shown

NAMES = (
    "grad_cam",
    "eigen_cam",
    "integrated_gradients",
    "rewrite",
    "relevance",
    "perturbation_sampling",
    "rise",
    "occlusion",
    "ablation_cam",
    "score_cam",
    "deletion_insertion",
)
_RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    given, options = parser.parse_args(), sys.argv[1:]
    apart = given.quick or given.only
    folder = given.out or (Path(tempfile.mkdtemp()) if apart else _RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    if not given.draw:
        for name in NAMES:
            _run(name, given, options, folder)
    files = [folder / f"{name}.json" for name in NAMES]
    records = [json.loads(file.read_text("utf-8")) for file in files if file.exists()]
    rows = [row for record in records for row in record["rows"] if "claim" in row]
    if not rows:
        raise SystemExit(f"{folder} holds no results; run without `--draw`.")
    title = "SMOKE RUN, no figures" if given.quick else "Ours against the peers"
    _report.table(title, shown(rows))
    print(_where(records))
    path = draw(rows, _where(records), folder / "bench.png", quick=given.quick)
    print(f"Drawn to {path}.")
    return int(any(row["holds"] is False for row in rows))


def _run(
    name: str, given: argparse.Namespace, options: Sequence[str], folder: Path
) -> None:
    """One file's contests, in a process of its own; its exit code is in its result."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    command += ["--out", str(folder / f"{name}.json")]
    done = subprocess.run(command, stdout=None if given.quick else sys.stderr)
    if done.returncode not in (0, 1):
        print(f"{name}: nothing measured, exit code {done.returncode}", file=sys.stderr)


def _where(records: Sequence[Mapping[str, Any]]) -> str:
    """Hardware, versions, settings and dates of some results."""
    dates = sorted(record["date"] for record in records)
    last, loads = records[-1], [r["hardware"]["load_average"] for r in records]
    settings, hardware = last["settings"], last["hardware"]
    devices = {
        row["device"]
        for record in records
        for row in record["rows"]
        if row.get("device", "cpu") != "cpu"
    }
    parts = [
        ", ".join(sorted(devices)) or hardware["cpu"],
        f"{settings['threads']} threads, {hardware['memory_gib']} GiB",
        f"load before each file at most {max(loads)}",
        f"{settings['dtype']}{', TF32' if settings['tf32'] else ''}",
        ", ".join(
            f"{name} {last['versions'][name]}"
            for name in _SHOWN
            if name in last["versions"]
        ),
        dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}",
    ]
    return "; ".join(parts)


_SHOWN = ("jax", "torch", "captum", "grad-cam")


def draw(
    rows: Sequence[Mapping[str, Any]], where: str, path: Path, *, quick: bool = False
) -> Path:
    """Bars of the peer's time over ours, a line where more is claimed."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    found = [row for row in rows if "default / ours" in row]
    found.sort(key=lambda row: row["network"])
    figure, axes = pyplot.subplots(
        figsize=(9, 1.4 + 0.42 * len(found)), layout="constrained"
    )
    for place, row in enumerate(found):
        _bars(axes, place, row)
    labels = [f"{row['network']} · {row['method']} · {row['peer']}" for row in found]
    axes.set_yticks(range(len(found)), labels, fontsize=8)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(right=2 * max(row["default / ours"] for row in found))
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(axis="x", which="both", alpha=0.2)
    axes.set_xlabel(
        "time of the peer / time of ours, higher is better\n"
        + textwrap.fill(where, 110),
        fontsize=7,
    )
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    figure.legend(
        unique.values(), unique.keys(), fontsize=8, ncols=3, loc="outside lower center"
    )
    title = "SMOKE RUN, no figures" if quick else "How many times as fast as its peer"
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return path


def _bars(axes: Any, place: int, row: Mapping[str, Any]) -> None:
    """The peer in its layouts, from 1 on, and what is claimed."""
    styles = (
        ("default", -0.2, "#2a6f97", "peer in its default layout"),
        ("channels-last", 0.2, "#8ecae6", "peer in channels-last"),
    )
    for layout, offset, color, label in styles:
        ratio = row.get(f"{layout} / ours")
        if ratio is None:
            continue
        axes.barh(place + offset, ratio - 1, 0.38, left=1, color=color, label=label)
        text = f" {ratio:.2g} ×" if ratio < 100 else f" {ratio:.0f} ×"
        axes.text(max(ratio, 1), place + offset, text, va="center", fontsize=7)
    for layout, key in (("default", "least"), ("channels-last", "least_best")):
        if row.get(key) is not None:
            offset = {style[0]: style[1] for style in styles}[layout]
            axes.vlines(
                row[key],
                place + offset - 0.2,
                place + offset + 0.2,
                color="#d00000",
                linewidth=2,
                label="claimed, at least",
            )


if __name__ == "__main__":
    raise SystemExit(main())
