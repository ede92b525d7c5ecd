"""Ablation-CAM reevaluates only what lies above the site.

    make peers
    .venv-peers/bin/python -m benchmarks.ablation_cam --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 8 minutes.
Expected, one image at 224 x 224, at the last block, both sides with 2 threads: on
ResNet-50 (2048 channels) at least 100 times as fast as `pytorch_grad_cam.AblationCAM`
in torch's default layout, which runs the whole network once for each channel. It takes
minutes, and so is timed once. The exit code is 1 otherwise.
"""

from benchmarks._cam_contest import cam
from benchmarks._contest import main

LEAST = 100.0
CLAIM = (
    f"Ablation-CAM of ResNet-50 is at least {LEAST:g} x as fast as pytorch-grad-cam's"
)

_METHOD = ("Ablation-CAM", "ablation_cam", "AblationCAM")
# The peer takes minutes: once, and cold.
_SETTINGS = {"warm": False, "quick": {"network": "squeezenet1_1"}}
CONTESTS = [
    cam("resnet50", *_METHOD, 1, least=LEAST, **_SETTINGS),
    cam("mobilenet_v2", *_METHOD, 2, **_SETTINGS),
    cam("vgg16", *_METHOD, 1, **_SETTINGS),
]


if __name__ == "__main__":
    raise SystemExit(main("ablation_cam", CLAIM, __doc__, CONTESTS))
