"""Eigen-CAM against pytorch-grad-cam's.

    make peers
    .venv-peers/bin/python -m benchmarks.eigen_cam --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 1 minute.
Expected, batch 16 at 224 x 224, at the last block, both sides with 2 threads: on
ResNet-50 at least twice the images per second of `pytorch_grad_cam.EigenCAM` in torch's
default layout; MobileNetV2 stands beside it. The exit code is 1 otherwise.

The decomposition leaves the sign of a map open: pictures of either sign are compared,
and the nearer one counts.
"""

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

LEAST = 2.0
CLAIM = (
    f"Eigen-CAM of ResNet-50 gives at least {LEAST} x the images per second of "
    "pytorch-grad-cam"
)


def _contest(network: str, rounds: int, least: float | None) -> Contest:
    options = {"name": "eigen_cam", "site": True, "center": True}
    # Without the rectifier, the other sign can still be taken.
    options |= {"relu": False, "compare": "either sign"}
    return Contest(
        network,
        "Eigen-CAM",
        "pytorch-grad-cam",
        Build("benchmarks._ours", "method", options),
        Build("benchmarks._pytorch_grad_cam_timed", "cam", {"name": "EigenCAM"}),
        batch=16,
        rounds=rounds,
        most_difference=1e-3,
        least=least,
    )


CONTESTS = [_contest("resnet50", 5, LEAST), _contest("mobilenet_v2", 9, None)]


if __name__ == "__main__":
    raise SystemExit(main("eigen_cam", CLAIM, __doc__, CONTESTS))
