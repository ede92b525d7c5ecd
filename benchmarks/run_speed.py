"""Whether reading, decoding and writing keep the devices of a run at work.

    .venv/bin/python -m benchmarks.run_speed --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 5 minutes.
Expected: at least 0.9. Grad-CAM with the bundled MobileNetV2, in tiles of 8: records
per second of a run over the photographs of an archive, into a store on disk, over those
of the bare jitted method on one batch in memory. Compilation is left out on both sides;
the photographs come three times over, so that what a run does once is a small part.
The two take turns; the figure is the median of the ratios.
"""

import statistics
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

import xattr
from benchmarks import _report
from xattr.cli.methods import METHODS
from xattr.data import Record, Source, open_source, pixels_of
from xattr.models import load
from xattr.run import Computation, Place, Plan, execute

NAME, CLAIM = "run_speed", "a run reaches 0.9 of the records per second of the method"
TILE, TIMES = 8, 3


class Repeated:
    """The records of a source several times over, so that beginning is a small part."""

    def __init__(self, source: Source, times: int) -> None:
        self._source, self._times = source, times
        self.describe, self.fingerprint = source.describe, source.fingerprint

    def __len__(self) -> int:
        return len(self._source) * self._times

    def __getitem__(self, index: int) -> Record:
        return self._source[index % len(self._source)]


def main() -> int:
    parser = _report.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    archive = open_source([str(options.data / "imagenet_sample" / "images.tar")])
    source = Repeated(archive, TIMES)
    count = len(source)
    pretrained = load("mobilenet_v2")
    rows = {"grad_cam": METHODS["grad_cam"]}
    plan = Plan(pretrained, rows, site=pretrained.site, tile_size=TILE)
    computation = Computation(plan)
    pixels = [pretrained.preprocess(pixels_of(source[k])) for k in range(TILE)]
    batch = jax.numpy.asarray(np.stack(pixels))

    @jax.jit
    def method(model, images):
        return xattr.grad_cam(model, images, site=pretrained.site)

    def bare() -> float:
        start = time.perf_counter()
        for _ in range(count // TILE):
            maps = method(pretrained.model, batch)
        maps.block_until_ready()
        return (count // TILE) * TILE / (time.perf_counter() - start)

    def whole() -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            progress = execute(
                plan,
                source,
                Place(Path(folder) / "run"),
                computation=computation,
                num_workers=options.workers,
            )
            return count / (time.perf_counter() - start), progress.busy

    bare(), whole()
    found = []
    for _ in range(options.rounds):
        loop, (run, busy) = bare(), whole()
        found.append(
            {
                "bare loop, per second": loop,
                "run, per second": run,
                "devices busy": busy,
                "run over bare loop": run / loop,
            }
        )
    ratio = statistics.median(row["run over bare loop"] for row in found)
    _report.table(CLAIM, found)
    path = _report.write(
        NAME,
        CLAIM,
        holds=ratio >= 0.9,
        out=options.out,
        settings={"records": count, "tile": TILE, "workers": options.workers},
        figures={"run over bare loop": ratio},
        rows=found,
    )
    print(f"{ratio:.3f}; written to {path}")
    return int(ratio < 0.9)


if __name__ == "__main__":
    raise SystemExit(main())
