"""Whether the memory of a run grows with its records.

    .venv/bin/python -m benchmarks.run_memory

Hardware: any. Time: about 5 minutes. Expected: the peak of a process that explains
100 000 records is within 10 % of that for 1 000. Grad-CAM and the gradient of a small
network on synthetic images of 32 x 32, in tiles of 32; each count in a process of its
own, which reports its peak (VmHWM) and what it holds at the end (VmRSS).
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jax
import numpy as np

import xattr
from benchmarks import _report
from benchmarks._timing import process_status
from xattr.cli.methods import METHODS
from xattr.data import GrainSource
from xattr.images import Preprocess
from xattr.run import Place, Plan, execute

NAME, CLAIM = "run_memory", "a run of 100 000 takes at most 1.1 x the memory of 1 000"
COUNTS = (1_000, 10_000, 100_000)


class Synthetic:
    """Images that are made when they are read."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, (32, 32, 3), np.uint8)


def apply(params: list[jax.Array], images: jax.Array) -> jax.Array:
    """A convolution, a pool and a line."""
    kernel, head = params
    layout = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(
        images, kernel, (2, 2), "SAME", dimension_numbers=layout
    )
    return jax.nn.relu(x).mean((1, 2)) @ head


def point(count: int) -> None:
    """Explain so many records; print what this process took, in MiB."""
    first, second = jax.random.split(jax.random.key(0))
    kernel = jax.random.normal(first, (3, 3, 3, 8))
    head = jax.random.normal(second, (8, 10))
    network = SimpleNamespace(
        name="small",
        model=xattr.from_function(apply, [kernel, head]),
        preprocess=Preprocess(size=32, resize=32),
        classes=tuple(f"class {k}" for k in range(10)),
        site="relu:0",
    )
    rows = {name: METHODS[name] for name in ("grad_cam", "gradient")}
    plan = Plan(cast(Any, network), rows, site=network.site, tile_size=32)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder) / "run")
        execute(plan, GrainSource(Synthetic(count)), place)
    print(process_status("VmHWM") / 2**20, process_status("VmRSS") / 2**20)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, help="this process's, for the others")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.count:
        point(options.count)
        return 0
    rows = []
    for count in COUNTS:
        command = [sys.executable, "-m", "benchmarks.run_memory", "--count", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak, end = map(float, done.stdout.split()[-2:])
        rows.append({"records": count, "peak, MiB": peak, "at the end, MiB": end})
        print(rows[-1], flush=True)
    ratio = rows[-1]["peak, MiB"] / rows[0]["peak, MiB"]
    _report.table(CLAIM, rows)
    path = _report.write(
        NAME,
        CLAIM,
        holds=ratio <= 1.1,
        out=options.out,
        figures={"peak of 100 000 over peak of 1 000": ratio},
        rows=rows,
    )
    print(f"{ratio:.3f}; written to {path}")
    return int(ratio > 1.1)


if __name__ == "__main__":
    raise SystemExit(main())
