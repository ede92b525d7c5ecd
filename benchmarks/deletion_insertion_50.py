"""Deletion and insertion of 50 images are faster than torch-cam's and Quantus'.

    make peers
    .venv-peers/bin/python -m benchmarks.deletion_insertion_50 --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 40 minutes.
Expected, as `benchmarks.deletion_insertion` on ResNet-50, but 50 images in one run of
all three: at least 1.3 times as fast as the faster of the two peers. Each side has the
sizes that are fastest on this machine: the peers of their batches, we of our chunks,
with the images divided between two devices of JAX, which are the two cores. The exit
code is 1 otherwise.
"""

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

LEAST = 1.3
CLAIM = f"Deletion and insertion of 50 images are at least {LEAST} x as fast"

CONTESTS = [
    Contest(
        "resnet50",
        "deletion and insertion, 224 steps, 50 images",
        "torch-cam and Quantus",
        Build(
            "benchmarks._curves_ours",
            "curves",
            {"num_steps": 224, "devices": 2, "chunk_sizes": (3, 5, 13)},
        ),
        Build("benchmarks._curves_timed", "either", {"num_steps": 224}),
        batch=50,
        rounds=1,
        least_best=LEAST,
        most_difference=1e-3,
        layouts=("torch-cam", "Quantus"),
        varied="peer",
        warm=False,
        quick={"network": "mobilenet_v2", "num_steps": 4},
    )
]


if __name__ == "__main__":
    raise SystemExit(main("deletion_insertion_50", CLAIM, __doc__, CONTESTS))
