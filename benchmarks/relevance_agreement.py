"""Same weights, same photographs: the relevance that zennit 0.5.1 finds.

    make peers
    .venv-peers/bin/python -m benchmarks.relevance_agreement --data DIR

Hardware: any CPU, 16 GB. Time: about 20 minutes on 2 cores; a network each with
`--networks`, three photographs of the demonstration with `--photographs 3`.
Expected: in every row the largest difference is at most 1e-5 of the peer's largest
magnitude, for each photograph, under `float32`.
The exit code is 1 otherwise. ResNet-50 has its published weights, VGG-16 random ones,
biases included, the same on both sides.

Columns: `float32` compares raw maps, JAX's products at `highest` precision, and
`pixels` is the share of pixels beyond the tolerance there. Which entry of a pooling
window is the largest is decided by rounding where two are nearly equal, and relevance
then goes another way; of guided backpropagation the same is true of activations near
zero. So there are more columns: `noise`, in float32, noise below half a gray level
making no two pixels equal; `means`, in float32, with means in the place of all maxima
on both sides; `float64`, with that noise; and how far each side's float32 map is from
its own float64 map of that input (`we 32-64`, `they 32-64`).
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import _photographs, _report, _zennit
from benchmarks._case import Case, Comparison, case_of, difference, float64
from benchmarks._networks import biased_weights, weights_file
from xattr.models import Network, load_network, untrained, with_tensors

TOLERANCE = 1e-5
NETWORKS = ("resnet50", "vgg16")
CLAIM = f"relevance agrees with that of zennit to {TOLERANCE} relative, in float32"


def rows(
    name: str, data: Path, photographs: Sequence[np.ndarray], only: str = ""
) -> list[dict[str, Any]]:
    """The figures of one network."""
    network = _network(name, data)
    with jax.default_matmul_precision("highest"):
        cases = {
            "float32": case_of(name, network, photographs),
            "noise": case_of(name, network, photographs, dithered=True),
            "means": case_of(name, network, photographs, means=True),
        }
        with float64():
            double = case_of(name, network, photographs, dithered=True)
        return [
            _row(name, comparison, cases, double)
            for comparison in _zennit.comparisons()
            if only in comparison.theirs
        ]


def _network(name: str, data: Path) -> Network:
    file = weights_file(data, name)
    if file is not None:
        return load_network(name, weights=file)
    return with_tensors(untrained(name), biased_weights(name))


def _row(
    name: str, comparison: Comparison, cases: dict[str, Case], double: Case
) -> dict[str, Any]:
    start = time.perf_counter()
    pairs = {key: comparison.pairs(case)[0] for key, case in cases.items()}
    with float64():
        [(ours, theirs)] = comparison.pairs(double)
    row = {
        "network": name,
        "theirs": comparison.theirs,
        "ours": comparison.ours,
        **{key: difference(*pair) for key, pair in pairs.items()},
        "float64": difference(ours, theirs),
        "we 32-64": difference(pairs["noise"][0], ours),
        "they 32-64": difference(pairs["noise"][1], theirs),
        "pixels": _beyond(*pairs["float32"]),
    }
    seconds = time.perf_counter() - start
    print(f"{name}: {comparison.theirs} ({seconds:.0f} s)", file=sys.stderr)
    return {**row, "agrees": _agrees(row)}


def _beyond(ours: np.ndarray, theirs: np.ndarray) -> list[float]:
    """Share of each image's pixels beyond the tolerance."""
    scale = np.abs(theirs).max((1, 2, 3), keepdims=True)
    apart = np.abs(ours - theirs) > TOLERANCE * scale
    return apart.any(3).mean((1, 2)).tolist()


def _agrees(row: dict[str, Any]) -> str:
    for column, text in (("float32", "yes"), ("float64", "in float64")):
        if max(row[column]) <= TOLERANCE:
            return text
    return "NO"


FIGURES = ("float32", "pixels", "noise", "means", "float64", "we 32-64", "they 32-64")


def _shown(row: dict[str, Any]) -> dict[str, str]:
    """A line of the table: the worst photograph of each figure."""
    return {
        **{key: row[key] for key in ("network", "theirs", "ours")},
        **{key: f"{max(row[key]):.1e}" for key in FIGURES},
        "agrees": row["agrees"],
    }


def main() -> int:
    parser = _report.arguments(__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--photographs", type=int, default=1, help="1 to 3")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    given = parser.parse_args()
    photographs = _photographs.demo(given.data)[: given.photographs]
    found: list[dict[str, Any]] = []
    for name in given.networks:
        found += rows(name, given.data, photographs, given.only)
    _report.table(CLAIM, list(map(_shown, found)))
    holds = all(row["agrees"] == "yes" for row in found)
    settings = {
        "precision": "jax.default_matmul_precision('highest')",
        "photographs": len(photographs),
        "tolerance": TOLERANCE,
        "measure": "max |ours - theirs| / max |theirs|, for each photograph",
        "batch norm": "its epsilon added to the variance on the peer's side, which "
        "otherwise keeps it beside the merged layer",
    }
    path = _report.write(
        "relevance_agreement",
        CLAIM,
        holds=holds,
        out=given.out,
        settings=settings,
        rows=found,
    )
    print(f"Written to {path}.")
    return int(not holds)


if __name__ == "__main__":
    raise SystemExit(main())
