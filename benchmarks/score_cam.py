"""Score-CAM is faster than pytorch-grad-cam's.

    make peers
    .venv-peers/bin/python -m benchmarks.score_cam --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 9 minutes.
Expected, one image at 224 x 224, at the last block, both sides with 2 threads, by the
peer's own definition (`variant="pytorch-grad-cam"`): on ResNet-50 (2048 forward passes)
at least 1.5 times as fast as `pytorch_grad_cam.ScoreCAM` in torch's default layout. It
takes minutes, and so is timed once. The exit code is 1 otherwise.
"""

from benchmarks._cam_contest import cam
from benchmarks._contest import main

LEAST = 1.5
CLAIM = f"Score-CAM of ResNet-50 is at least {LEAST} x as fast as pytorch-grad-cam's"

_METHOD = ("Score-CAM", "score_cam", "ScoreCAM")
# Minutes each: once, and cold.
_SETTINGS = {
    "variant": "pytorch-grad-cam",
    "warm": False,
    "quick": {"network": "squeezenet1_1"},
}
CONTESTS = [
    cam("resnet50", *_METHOD, 1, least=LEAST, **_SETTINGS),
    cam("mobilenet_v2", *_METHOD, 2, **_SETTINGS),
    cam("vgg16", *_METHOD, 1, **_SETTINGS),
]


if __name__ == "__main__":
    raise SystemExit(main("score_cam", CLAIM, __doc__, CONTESTS))
