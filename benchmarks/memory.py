"""Integrated gradients with 256 steps take the memory of those with 16.

    .venv/bin/python -m benchmarks.memory --data DIR

Hardware: any Linux; 2 cores. Time: about 4 minutes.
Expected: on ResNet-50, batch 4 at 224 x 224, `chunk_size` left to the library, the peak
of a process that takes 256 steps is at most 1.3 times that of one that takes 16. The
exit code is 1 otherwise.

The peak is the high-water mark of the resident set (`VmHWM`) of a process of its own
for each figure, the interpreter, the parameters and the compiler included. That of a
process that only loads the network and compiles and runs its forward pass stands beside
it: what all processes need makes the ratio look better. So does the estimate by which
chunks are sized, for one image and one step (`xattr.program.live_bytes`).
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import xattr
from benchmarks import _photographs, _report
from xattr import _chunking
from xattr.models import Pretrained, load
from xattr.program import live_bytes

MOST = 1.3
STEPS = (16, 256)
CLAIM = (
    f"peak memory of integrated gradients on ResNet-50 with {STEPS[1]} steps is at "
    f"most {MOST} x that with {STEPS[0]}"
)
_MIB = 2**20


def peak() -> int:
    """Bytes of this process's resident set at its largest."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not state VmHWM")


def estimate(pretrained: Pretrained, image: jax.Array) -> int:
    """Bytes of one gradient, by the library's own reading of the program."""

    def gradient(image):
        return jax.grad(lambda x: pretrained.model(x)[:, 0].sum())(image)

    return live_bytes(gradient, image)


def point(data: Path, steps: int, batch: int) -> dict[str, Any]:
    """One figure, in the process that this is called in; 0 steps: the forward pass."""
    weights = data / "weights" / "resnet50.safetensors"
    pretrained = load("resnet50", weights=weights)
    photographs = _photographs.sample(data, batch)
    images = jnp.asarray(_photographs.batch(photographs, pretrained.preprocess))
    each = estimate(pretrained, images[:1])
    if steps:
        maps = xattr.integrated_gradients(pretrained.model, images, num_steps=steps)
    else:
        maps = jax.jit(lambda model, x: model(x))(pretrained.model, images)
    finite = bool(jnp.isfinite(maps).all())
    return {"steps": steps, "peak": peak(), "estimate": each, "finite": finite}


def in_a_process(data: Path, steps: int, batch: int) -> dict[str, Any]:
    """One figure, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--data", str(data)]
    command += ["--point", str(steps), "--batch", str(batch)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def main() -> int:
    parser = _report.arguments(__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, nargs=2, default=STEPS)
    parser.add_argument("--point", type=int, help="only one figure, as JSON")
    given = parser.parse_args()
    if given.point is not None:
        print(json.dumps(point(given.data, given.point, given.batch)))
        return 0
    points = [in_a_process(given.data, s, given.batch) for s in (0, *given.steps)]
    before, few, many = points
    each, budget = few["estimate"], _chunking.memory_budget()
    rows = [
        {
            "steps": found["steps"] or "forward pass only",
            "peak MiB": found["peak"] / _MIB,
            "above the forward pass, MiB": (found["peak"] - before["peak"]) / _MIB,
            "finite": found["finite"],
        }
        for found in points
    ]
    figures = {
        "peak over peak": many["peak"] / few["peak"],
        "above the forward pass": (many["peak"] - before["peak"])
        / max(few["peak"] - before["peak"], 1),
        "estimate of one gradient, MiB": each / _MIB,
        "budget of a chunk, MiB": budget / _MIB,
        "gradients in a chunk": max(1, budget // each),
    }
    holds = figures["peak over peak"] <= MOST and few["finite"] and many["finite"]
    _report.table(CLAIM, rows)
    _report.table("Figures", [{"holds": holds, **figures}])
    path = _report.write(
        "memory",
        CLAIM,
        holds=holds,
        out=given.out,
        settings={"batch": given.batch, "steps": list(given.steps), "chunk_size": None},
        figures=figures,
        rows=rows,
    )
    print(f"Written to {path}.")
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
