"""Deletion and insertion are faster than torch-cam's and Quantus'.

    make peers
    .venv-peers/bin/python -m benchmarks.deletion_insertion --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 20 minutes.
Expected, four images at 224 x 224 on ResNet-50, 224 steps of 224 pixels, black for what
is not there, both sides with 2 threads: at least 1.3 times as fast as
`torchcam.metrics.DeletionInsertionMetric` and as `quantus.PixelFlipping` (insertion is
the same with the map negated, read backwards), each in torch's default layout with the
fastest of some batch sizes. Maps are the same on all sides, and so are the numbers of
forward passes, 448 to 450 per image; areas agree to 1e-3. The exit code is 1 otherwise.
"""

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

LEAST = 1.3
CLAIM = f"Deletion and insertion are at least {LEAST} x as fast as the peers'"


def _contest(
    network: str, peer: str, theirs: str, rounds: int, least: float | None
) -> Contest:
    options = {"num_steps": 224}
    return Contest(
        network,
        "deletion and insertion, 224 steps",
        peer,
        Build("benchmarks._curves_ours", "curves", options),
        Build("benchmarks._curves_timed", theirs, options),
        batch=4,
        rounds=rounds,
        least=least,
        most_difference=1e-3,
        warm=False,
        quick={"network": "mobilenet_v2", "num_steps": 4},
    )


CONTESTS = [
    _contest("resnet50", "torch-cam", "torchcam", 1, LEAST),
    _contest("resnet50", "Quantus", "quantus", 1, LEAST),
    _contest("mobilenet_v2", "torch-cam", "torchcam", 2, None),
]


if __name__ == "__main__":
    raise SystemExit(main("deletion_insertion", CLAIM, __doc__, CONTESTS))
