"""Grad-CAM costs one forward pass, and is faster than pytorch-grad-cam's.

    make peers
    .venv-peers/bin/python -m benchmarks.grad_cam --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 3 minutes.
Expected, batch 16 at 224 x 224, at the last block, both sides with 2 threads: on
ResNet-50 at most 1.1 times the plain jitted forward pass of the same model, and at
least twice the images per second of `pytorch_grad_cam.GradCAM` on the same weights and
images in torch's default layout. Torch in channels-last is a second figure, and so are
VGG-16 and MobileNetV2. The exit code is 1 where one of the two claims does not hold.

The peer always returns maps scaled and in the size of the photograph; `xattr.grad_cam`
followed by the same, within one program, is a row of its own. Maps are compared as such
pictures.
"""

from benchmarks._cam_contest import cam
from benchmarks._contest import main

MOST = 1.1
LEAST = 2.0
CLAIM = (
    f"Grad-CAM of ResNet-50 takes at most {MOST} x the forward pass, and gives at "
    f"least {LEAST} x the images per second of pytorch-grad-cam"
)

_METHOD = ("Grad-CAM", "grad_cam", "GradCAM")
_PICTURES = ("Grad-CAM, as pictures", *_METHOD[1:])
CONTESTS = [
    cam("resnet50", *_METHOD, 15, batch=16, least=LEAST, most_forward=MOST),
    cam("resnet50", *_PICTURES, 5, batch=16, pictures=True),
    cam("vgg16", *_METHOD, 3, batch=8),
    cam("mobilenet_v2", *_METHOD, 15, batch=16),
]


if __name__ == "__main__":
    raise SystemExit(main("grad_cam", CLAIM, __doc__, CONTESTS))
