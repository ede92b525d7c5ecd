"""Score-CAM of 2048 channels and 8 images stays under 3 GB; chunks are sized well.

    .venv/bin/python -m benchmarks.memory_score_cam --data DIR

Hardware: any Linux; 2 cores. Time: about 20 minutes.
Expected: on ResNet-50, 8 images at 224 x 224, `chunk_size` left to the library, the
peak of a process that takes `score_cam` is at most 3 GB: the interpreter, the
parameters and the compiler included. What `score_cam`, `rise`,
`integrated_gradients` and `occlusion` need beyond their compiled program is at most
1.5 times the estimate by which their chunks are sized. The exit code is 1 otherwise.

Each method has a process of its own. Its peak is the high-water mark of the resident
set (`VmHWM`); once the method is compiled the mark is set back to what is resident
then, the base, so that what it reaches afterwards is the run's. The estimate is that
of the largest chunk as it is run: the bytes of one evaluation, as the library logs them
(`xattr.program.live_bytes`), times their number, and what it logs as computed once for
all of them. XLA's own account of its temporary
memory stands beside it; convolutions take scratch space that it does not count.

`rise` and `integrated_gradients` take fewer masks and steps than by default: their
memory does not grow with them (`benchmarks/memory.py`).
"""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import xattr
from benchmarks import _photographs, _report
from benchmarks._timing import HostMemory
from xattr import _chunking
from xattr.models import load

MOST_BYTES = 3e9
MOST_RATIO = 1.5
METHODS = ("score_cam", "rise", "integrated_gradients", "occlusion")
CLAIM = (
    f"Score-CAM of ResNet-50's 2048 channels on 8 images takes at most "
    f"{MOST_BYTES / 1e9:.0f} GB, and it, RISE, integrated gradients and occlusion at "
    f"most {MOST_RATIO} x the estimate that their chunks are sized by"
)
_MIB = 2**20


class _Chunks(logging.Handler):
    """Keeps what the library logs: evaluations in a chunk, in all, and their MiB."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.found: list[tuple[int, int, float]] = []
        self.shared = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        if record.msg.startswith("chunks of") and isinstance(record.args, tuple):
            size, pairs, each, _ = record.args
            self.found.append((int(size), int(pairs), float(each)))
        if "computed once" in record.msg and isinstance(record.args, tuple):
            self.shared += float(record.args[0])

    def largest(self, batch: int) -> tuple[int, float]:
        """Evaluations of the largest chunk as it is run, and its estimate in bytes."""
        held = [
            (
                _chunking._even(batch, min(batch, size))
                * _chunking._even(pairs // batch, max(1, size // batch)),
                each,
            )
            for size, pairs, each in self.found
        ]
        size, each = max(held, key=lambda found: found[0] * found[1])
        return size, (size * each + self.shared) * _MIB


def method(name: str, site: str) -> Callable[..., Any]:
    """One of the methods, with what it needs beside a model and images."""
    key = jax.random.key(0)
    return {
        "score_cam": partial(xattr.score_cam, site=site),
        "rise": partial(xattr.rise, num_masks=256, key=key),
        "integrated_gradients": partial(xattr.integrated_gradients, num_steps=64),
        "occlusion": partial(xattr.occlusion, window=32, stride=16),
    }[name]


def point(data: Path, network: str, name: str, batch: int) -> dict[str, Any]:
    """One method's figures, in the process that this is called in."""
    log, chunks = logging.getLogger("xattr"), _Chunks()
    log.setLevel(logging.INFO)
    log.addHandler(chunks)
    weights = data / "weights" / f"{network}.safetensors"
    pretrained = load(network, weights=weights)
    photographs = _photographs.sample(data, batch)
    images = jnp.asarray(_photographs.batch(photographs, pretrained.preprocess))
    explain = jax.jit(method(name, pretrained.site))
    compiled = explain.lower(pretrained.model, images).compile()
    memory = HostMemory()
    before = memory.peak()
    memory.reset()
    base = memory.peak()
    maps = jax.block_until_ready(compiled(pretrained.model, images))
    after, analysis = memory.peak(), compiled.memory_analysis()
    size, estimate = chunks.largest(batch)
    return {
        "method": name,
        "peak": max(before, after),
        "above the base": after - base,
        "temporary": analysis.temp_size_in_bytes if analysis else 0,
        "evaluations in a chunk": size,
        "estimate": estimate,
        "finite": bool(jnp.isfinite(maps).all()),
    }


def in_a_process(data: Path, network: str, name: str, batch: int) -> dict[str, Any]:
    """One method's figures, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory_score_cam", "--point", name]
    command += ["--data", str(data), "--network", network, "--batch", str(batch)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(run.stdout)


def row(found: dict[str, Any]) -> dict[str, Any]:
    """A line of the table, in MiB."""
    sizes = {
        key: found[key] / _MIB
        for key in ("peak", "above the base", "temporary", "estimate")
    }
    return {
        "method": found["method"],
        "evaluations in a chunk": found["evaluations in a chunk"],
        **{f"{key}, MiB": value for key, value in sizes.items()},
        "above the base over the estimate": sizes["above the base"] / sizes["estimate"],
        "finite": found["finite"],
    }


def main() -> int:
    parser = _report.arguments(__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--point", help="only this method's figures, as JSON")
    given = parser.parse_args()
    if given.point is not None:
        print(json.dumps(point(given.data, given.network, given.point, given.batch)))
        return 0
    points = [
        in_a_process(given.data, given.network, name, given.batch)
        for name in given.methods
    ]
    peak = max((p["peak"] for p in points if p["method"] == "score_cam"), default=0)
    ratio = max(p["above the base"] / p["estimate"] for p in points)
    holds = peak <= MOST_BYTES and ratio <= MOST_RATIO and all(
        p["finite"] for p in points
    )  # fmt: skip
    figures = {"peak of score_cam, GB": peak / 1e9, "largest ratio": ratio}
    rows = [row(found) for found in points]
    _report.table(CLAIM, rows)
    _report.table("Figures", [{"holds": holds, **figures}])
    path = _report.write(
        "memory_score_cam",
        CLAIM,
        holds=holds,
        out=given.out,
        settings={
            "network": given.network,
            "batch": given.batch,
            "methods": list(given.methods),
            "chunk_size": None,
        },
        figures=figures,
        rows=rows,
    )
    print(f"Written to {path}.")
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
