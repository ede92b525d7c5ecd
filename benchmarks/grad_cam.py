"""Grad-CAM of ResNet-50 costs one forward pass, and is faster than pytorch-grad-cam's.

    make peers
    .venv-peers/bin/python -m benchmarks.grad_cam --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 3 minutes.
Expected, batch 16 at 224 x 224, at the last site, both sides with 2 threads:
at most 1.1 times the plain jitted forward pass of the same model, and at least twice
the images per second of `pytorch_grad_cam.GradCAM` on the same weights and images in
torch's default layout; torch in channels-last is a second figure. The exit code is 1
where one of the two claims does not hold.

Every candidate takes its turn in each round, and each ratio is the median of the
rounds' ratios: what else the machine does then weighs on both. All is float32 on the
CPU, where no precision below it is used (`jax.default_matmul_precision('highest')`;
torch has no TF32 there). Parameters are arguments of the compiled functions, not
constants in them. The peer always returns maps scaled and in the size of the
photograph; `xattr.grad_cam` followed by the same is timed as well.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

_THREADS = 2
# Both are read once, when the library starts.
os.environ["OMP_NUM_THREADS"] = str(_THREADS)
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_THREADS])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

import xattr  # noqa: E402
from benchmarks import _photographs, _report, _torchvision  # noqa: E402
from xattr.models import load, load_network  # noqa: E402

from pytorch_grad_cam import GradCAM  # isort: skip # noqa: E402
from pytorch_grad_cam.utils.model_targets import (  # isort: skip # noqa: E402
    ClassifierOutputTarget,
)

MOST = 1.1
LEAST = 2.0
CLAIM = (
    f"Grad-CAM of ResNet-50 takes at most {MOST} x the forward pass, and gives at "
    f"least {LEAST} x the images per second of pytorch-grad-cam"
)

Run = Callable[[], Any]


def ours(weights: Any, images: np.ndarray) -> tuple[dict[str, Run], np.ndarray]:
    """The forward pass, its Grad-CAM, and that as pictures; and the classes."""
    pretrained = load("resnet50", weights=weights)
    model, site = pretrained.model, pretrained.site
    batch = jnp.asarray(images)
    forward = jax.jit(lambda model, batch: model(batch))
    classes = forward(model, batch).argmax(axis=1)

    @jax.jit
    def pictures(model, batch, classes):
        maps = xattr.grad_cam(model, batch, classes, site=site)
        return xattr.images.min_max(xattr.images.resize(maps, batch.shape[1:3]))

    runs = {
        "forward pass": lambda: forward(model, batch).block_until_ready(),
        "xattr.grad_cam": lambda: xattr.grad_cam(
            model, batch, classes, site=site
        ).block_until_ready(),
        "xattr.grad_cam, pictures": lambda: np.asarray(pictures(model, batch, classes)),
    }
    return runs, np.asarray(classes)


def theirs(weights: Any, images: np.ndarray, classes: np.ndarray) -> dict[str, Run]:
    """The peer's Grad-CAM in both layouts."""
    normalize = load_network("resnet50", weights=weights).normalize
    targets = [ClassifierOutputTarget(k) for k in classes.tolist()]

    def run(layout: torch.memory_format) -> Run:
        module = _torchvision.Normalized(
            _torchvision.load("resnet50", weights),
            mean=normalize.mean,
            std=normalize.std,
            channels=normalize.channels,
        ).to(memory_format=layout)
        batch = torch.from_numpy(images).movedim(3, 1).contiguous(memory_format=layout)
        explainer = GradCAM(module, [module.network.layer4[-1]])
        return lambda: explainer(batch, targets)

    return {
        "pytorch-grad-cam": run(torch.contiguous_format),
        "pytorch-grad-cam, channels-last": run(torch.channels_last),
    }


def measured(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, taking turns; the first, uncounted, compiles."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        # Every other round backwards, so that none always follows the same.
        for name, run in list(runs.items())[:: 1 if turn % 2 == 0 else -1]:
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], of: str, to: str) -> float:
    """Median over the rounds of one time over another."""
    return statistics.median(
        a / b for a, b in zip(seconds[of], seconds[to], strict=True)
    )


def main() -> int:
    parser = _report.arguments(__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(_THREADS)
    weights = given.data / "weights" / "resnet50.safetensors"
    preprocess = load("resnet50", weights=weights).preprocess
    photographs = _photographs.sample(given.data, given.batch)
    images = _photographs.batch(photographs, preprocess)
    with jax.default_matmul_precision("highest"):
        runs, classes = ours(weights, images)
        runs |= theirs(weights, images, classes)
        seconds = measured(runs, given.rounds)
    rows = [
        {
            "what": name,
            "ms per image": 1000 * statistics.median(taken) / given.batch,
            "images per second": given.batch / statistics.median(taken),
            "time / forward pass": ratio(seconds, name, "forward pass"),
            "time / xattr.grad_cam": ratio(seconds, name, "xattr.grad_cam"),
        }
        for name, taken in seconds.items()
    ]
    figures = {
        "time over the forward pass": ratio(seconds, "xattr.grad_cam", "forward pass"),
        "throughput over pytorch-grad-cam": ratio(
            seconds, "pytorch-grad-cam", "xattr.grad_cam"
        ),
        "throughput over pytorch-grad-cam, channels-last": ratio(
            seconds, "pytorch-grad-cam, channels-last", "xattr.grad_cam"
        ),
        "throughput over pytorch-grad-cam, as pictures": ratio(
            seconds, "pytorch-grad-cam", "xattr.grad_cam, pictures"
        ),
    }
    holds = (
        figures["time over the forward pass"] <= MOST
        and figures["throughput over pytorch-grad-cam"] >= LEAST
    )
    _report.table(CLAIM, rows)
    _report.table("Medians of ratios", [{"holds": holds, **figures}])
    path = _report.write(
        "grad_cam",
        CLAIM,
        holds=holds,
        out=given.out,
        settings={
            "batch": given.batch,
            "size": list(images.shape[1:3]),
            "rounds": given.rounds,
            "threads": _THREADS,
            "precision": "float32; jax.default_matmul_precision('highest')",
            "parameters": "arguments of the compiled functions",
        },
        figures=figures,
        rows=rows,
    )
    print(f"Written to {path}.")
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
