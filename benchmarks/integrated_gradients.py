"""Integrated gradients are faster than captum's.

    make peers
    .venv-peers/bin/python -m benchmarks.integrated_gradients --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 3 minutes.
Expected, one image at 224 x 224, 32 steps by the midpoint rule, both sides with 2
threads: on VGG-16 and ResNet-50 at least 1.2 times as fast as
`captum.attr.IntegratedGradients` in torch's default layout, with the faster of its
`internal_batch_size` 8 and 32. MobileNetV2 stands beside them. The exit code is 1
otherwise.

Maps need not agree closely: `benchmarks/README.md` says why input gradients of ReLU
networks jump with the last bit.
"""

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

LEAST = 1.2
CLAIM = (
    f"integrated gradients of VGG-16 and ResNet-50 are at least {LEAST} x as fast as "
    "captum's"
)


def _contest(network: str, rounds: int, least: float | None) -> Contest:
    options = {"num_steps": 32}
    return Contest(
        network,
        "integrated gradients, 32 steps",
        "captum",
        Build(
            "benchmarks._ours", "method", {"name": "integrated_gradients", **options}
        ),
        Build("benchmarks._captum_timed", "integrated_gradients", options),
        rounds=rounds,
        least=least,
        warm=network != "vgg16",
        quick={"num_steps": 2},
    )


CONTESTS = [
    _contest("vgg16", 3, LEAST),
    _contest("resnet50", 5, LEAST),
    _contest("mobilenet_v2", 7, None),
]


if __name__ == "__main__":
    raise SystemExit(main("integrated_gradients", CLAIM, __doc__, CONTESTS))
