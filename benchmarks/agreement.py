"""Same weights, same photographs: the maps of captum 0.9 and pytorch-grad-cam 1.5.7.

    make peers
    .venv-peers/bin/python -m benchmarks.agreement --data DIR

Hardware: any CPU. Time: about 10 minutes on 2 cores.
Expected: in every row the largest difference is at most 1e-3 of the peer's largest
magnitude, for every photograph, under `float32`. The exit code is 1 otherwise, which it
is: rows whose gradients go down to the image agree under `float64` alone.

Columns: `float32` compares raw maps, JAX's products at `highest` precision; `picture`
what pytorch-grad-cam returns (rectified, resized, scaled to [0, 1]) with the same made
by `xattr.images`.

Gradients with respect to pixels are discontinuous. Where two entries of a pooling
window are equal, or an activation is zero but for rounding, rounding decides which
way the gradient takes, and a few pixels change by a percent of the largest. Equal
entries abound: photographs have flat spots, and a path from black begins in one. So
these methods are compared once more in float64, noise below half a gray level making
no two pixels equal (`float64`). How far each side is from its own float64 map of that
same input when it computes in float32 stands beside it (`we 32-64`, `they 32-64`).
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import _captum, _photographs, _pytorch_grad_cam, _report
from benchmarks._case import LAYERS, Case, Comparison, case, difference, float64

TOLERANCE = 1e-3
CLAIM = (
    f"maps agree with those of captum and pytorch-grad-cam to {TOLERANCE} relative, in "
    "float32"
)
COMPARISONS = [*_pytorch_grad_cam.comparisons(), *_captum.comparisons()]


def rows(
    name: str, weights: Path | None, photographs: Sequence[np.ndarray], only: str = ""
) -> list[dict[str, Any]]:
    """The figures of one network."""
    chosen = [c for c in COMPARISONS if only in f"{c.peer} {c.theirs}"]
    with jax.default_matmul_precision("highest"):
        found = case(name, weights, photographs)
        compared = [_row(name, c, found) for c in chosen]
        if any(c.kinks for c in chosen):
            # Enough to show it: they cost most of the time.
            single, double = _dithered(name, weights, photographs[:3])
            compared = [
                {**row, **_settled(c, single, double)} if c.kinks else row
                for c, row in zip(chosen, compared, strict=True)
            ]
    for row in compared:
        row["agrees"] = _agrees(row)
    return compared


def _row(name: str, comparison: Comparison, found: Case) -> dict[str, Any]:
    start = time.perf_counter()
    raw, *pictures = [difference(*pair) for pair in comparison.pairs(found)]
    seconds = time.perf_counter() - start
    print(f"{name}: {comparison.theirs} ({seconds:.0f} s)", file=sys.stderr)
    return {
        "network": name,
        "peer": comparison.peer,
        "theirs": comparison.theirs,
        "ours": comparison.ours,
        "note": comparison.note,
        "float32": raw,
        "picture": pictures[0] if pictures else None,
    }


def _dithered(
    name: str, weights: Path | None, photographs: Sequence[np.ndarray]
) -> tuple[Case, Case]:
    """The same input without equal pixels, in both precisions."""
    single = case(name, weights, photographs, dithered=True)
    with float64():
        return single, case(name, weights, photographs, dithered=True)


def _settled(comparison: Comparison, single: Case, double: Case) -> dict[str, Any]:
    """What rounding does to either side, and what is left without it."""
    [(ours_single, theirs_single)] = comparison.pairs(single)
    with float64():
        [(ours, theirs)] = comparison.pairs(double)
    return {
        "float64": difference(ours, theirs),
        "we 32-64": difference(ours_single, ours),
        "they 32-64": difference(theirs_single, theirs),
    }


def _agrees(row: dict[str, Any]) -> str:
    if max(row["float32"] + (row["picture"] or [])) <= TOLERANCE:
        return "yes"
    return "in float64" if max(row.get("float64", [1.0])) <= TOLERANCE else "NO"


def _shown(row: dict[str, Any]) -> dict[str, str]:
    """A line of the table: the worst photograph of each figure."""
    figures = ("float32", "picture", "float64", "we 32-64", "they 32-64")
    return {
        **{key: row[key] for key in ("network", "theirs", "ours")},
        **{key: f"{max(row[key]):.1e}" if row.get(key) else "" for key in figures},
        "agrees": row["agrees"],
    }


def main() -> int:
    parser = _report.arguments(__doc__)
    parser.add_argument("--networks", nargs="+", default=list(LAYERS), choices=LAYERS)
    parser.add_argument("--photographs", type=int, default=5, help="of the sample")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    given = parser.parse_args()
    photographs = [
        *_photographs.demo(given.data),
        *_photographs.sample(given.data, given.photographs),
    ]
    found: list[dict[str, Any]] = []
    for name in given.networks:
        weights = given.data / "weights" / f"{name}.safetensors"
        found += rows(name, weights, photographs, given.only)
    _report.table(CLAIM, list(map(_shown, found)))
    settings = {
        "precision": "jax.default_matmul_precision('highest')",
        "photographs": len(photographs),
        "photographs in float64": 3,
        "rows beyond the tolerance in float32": sum(
            row["agrees"] != "yes" for row in found
        ),
        "tolerance": TOLERANCE,
        "measure": "max |ours - theirs| / max |theirs|, for each photograph",
    }
    path = _report.write(
        "agreement",
        CLAIM,
        holds=all(row["agrees"] == "yes" for row in found),
        out=given.out,
        settings=settings,
        rows=found,
    )
    print(f"Written to {path}.")
    return int(any(row["agrees"] != "yes" for row in found))


if __name__ == "__main__":
    raise SystemExit(main())
