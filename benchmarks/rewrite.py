"""Rewritten operations make the gradient of VGG-16 faster.

    make peers
    .venv-peers/bin/python -m benchmarks.rewrite --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 1 minute.
Expected, batch 4 at 224 x 224, both sides with 2 threads: the gradient of the
predicted logit of VGG-16 through `program.rewrite` at least 1.5 times as fast as that
of the same JAX model as it was written. ResNet-50 and MobileNetV2 stand beside it. The
exit code is 1 otherwise.
"""

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

LEAST = 1.5
CLAIM = f"the gradient of VGG-16 is at least {LEAST} x as fast when rewritten"


def _contest(network: str, rounds: int, least: float | None) -> Contest:
    ours = Build("benchmarks._ours", "method", {"name": "gradient"})
    return Contest(
        network,
        "gradient",
        "not rewritten",
        ours,
        ours._replace(options={**ours.options, "rewrite": False}),
        batch=4,
        rounds=rounds,
        least=least,
        layouts=("default",),
    )


CONTESTS = [
    _contest("vgg16", 5, LEAST),
    _contest("resnet50", 7, None),
    _contest("mobilenet_v2", 7, None),
]


if __name__ == "__main__":
    raise SystemExit(main("rewrite", CLAIM, __doc__, CONTESTS))
