"""RISE against the same written plainly for torch.

    make peers
    .venv-peers/bin/python -m benchmarks.rise --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 5 minutes.
Expected, one image at 224 x 224, 256 masks of 7 x 7 cells (the paper takes 4000 to
8000; both sides' time is linear in them), both sides with 2 threads: at least as fast
as `benchmarks/_rise_torch.py` in torch's default layout with the best of its chunks (8,
16, 32). The exit code is 1 otherwise. Masks are drawn, and so maps are not compared.
"""

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

CLAIM = "RISE is at least as fast as the same written plainly for torch"


def _contest(network: str, rounds: int, least: float | None) -> Contest:
    options = {"num_masks": 256, "grid": 7, "keep": 0.5}
    return Contest(
        network,
        "RISE, 256 masks",
        "plain torch",
        Build(
            "benchmarks._ours", "method", {"name": "rise", "random": True, **options}
        ),
        Build("benchmarks._rise_torch", "rise", options),
        rounds=rounds,
        least=least,
        random=True,
        warm=False,
        quick={"num_masks": 8},
    )


CONTESTS = [
    _contest("resnet50", 2, 1.0),
    _contest("vgg16", 1, 1.0),
    _contest("mobilenet_v2", 5, 1.0),
]


if __name__ == "__main__":
    raise SystemExit(main("rise", CLAIM, __doc__, CONTESTS))
