"""Ablation-CAM reevaluates only what lies above the site.

    make peers
    .venv-peers/bin/python -m benchmarks.ablation_cam --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 5 minutes; with
`--all`, VGG-16 too, about 8.
Expected, one image at 224 x 224, at the last block, both sides with 2 threads: on
ResNet-50 (2048 channels) at least 100 times as fast as `pytorch_grad_cam.AblationCAM`
in torch's default layout, which runs the whole network once for each channel. It takes
minutes, and so is timed once. The exit code is 1 otherwise.
"""

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

LEAST = 100.0
CLAIM = (
    f"Ablation-CAM of ResNet-50 is at least {LEAST:g} x as fast as pytorch-grad-cam's"
)


def _contest(
    network: str, rounds: int, least: float | None = None, *, extra: bool = False
) -> Contest:
    options = {"name": "ablation_cam", "site": True, "compare": "pictures"}
    return Contest(
        network,
        "Ablation-CAM",
        "pytorch-grad-cam",
        Build("benchmarks._ours", "method", options),
        Build("benchmarks._pytorch_grad_cam_timed", "cam", {"name": "AblationCAM"}),
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
    raise SystemExit(main("ablation_cam", CLAIM, __doc__, CONTESTS))
