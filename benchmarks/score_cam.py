"""Score-CAM is faster than pytorch-grad-cam's.

    make peers
    .venv-peers/bin/python -m benchmarks.score_cam --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 6 minutes; with
`--all`, VGG-16 too, about 9.
Expected, one image at 224 x 224, at the last block, both sides with 2 threads, by the
peer's own definition (`variant="pytorch-grad-cam"`): on ResNet-50 (2048 forward passes)
at least 1.5 times as fast as `pytorch_grad_cam.ScoreCAM` in torch's default layout. It
takes minutes, and so is timed once. The exit code is 1 otherwise.
"""

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

LEAST = 1.5
CLAIM = f"Score-CAM of ResNet-50 is at least {LEAST} x as fast as pytorch-grad-cam's"


def _contest(
    network: str, rounds: int, least: float | None = None, *, extra: bool = False
) -> Contest:
    options = {"name": "score_cam", "site": True, "compare": "pictures"}
    return Contest(
        network,
        "Score-CAM",
        "pytorch-grad-cam",
        Build("benchmarks._ours", "method", {**options, "variant": "pytorch-grad-cam"}),
        Build("benchmarks._pytorch_grad_cam_timed", "cam", {"name": "ScoreCAM"}),
        rounds=rounds,
        most_difference=1e-3,
        least=least,
        warm=False,
        extra=extra,
        quick={"network": "squeezenet1_1"},
    )


CONTESTS = [
    _contest("resnet50", 1, LEAST),
    _contest("mobilenet_v2", 2),
    _contest("vgg16", 1, extra=True),
]


if __name__ == "__main__":
    raise SystemExit(main("score_cam", CLAIM, __doc__, CONTESTS))
