"""LRP costs a few gradients at most, and is faster than zennit's.

    make peers
    .venv-peers/bin/python -m benchmarks.relevance --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 6 minutes.
Expected, ResNet-50, batch 16 at 224 x 224, both sides with 2 threads: EpsilonPlus takes
at most twice the time of `xattr.gradient` on the same images and parameters,
EpsilonAlpha2Beta1 at most four times, so that the column "peer / ours" is at least 1/2
and 1/4 in these rows; and EpsilonPlus has at least 2.5 times the images per second of
zennit in torch's default layout, which takes as many images at once as is fastest
(ours, what fits its budget of memory). The exit code is 1 otherwise. Guided
backpropagation and deconvnet stand beside captum's, where nothing is claimed.

Zennit's hooks are in place, and its batch norms merged, before the clock starts.
"""

from typing import Any

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

PLUS, ALPHA_BETA = 2, 4
LEAST = 2.5
CLAIM = (
    f"EpsilonPlus on ResNet-50 takes at most {PLUS} x the gradient, EpsilonAlpha2Beta1 "
    f"at most {ALPHA_BETA} x, and has at least {LEAST} x the images per second of "
    "zennit"
)
_OURS = "benchmarks._ours"
_GRADIENT = Build(_OURS, "method", {"name": "gradient"})
_QUICK = {"network": "squeezenet1_1"}
_COMPOSITES = {
    "EpsilonPlus": "epsilon_plus",
    "EpsilonAlpha2Beta1": "epsilon_alpha2_beta1",
}


def _lrp(name: str) -> Build:
    return Build(_OURS, "method", {"name": "lrp", "composite": _COMPOSITES[name]})


def _to_gradient(name: str, most: float | None, network: str = "resnet50") -> Contest:
    return Contest(
        network,
        f"LRP, {name}",
        "gradient",
        _lrp(name),
        _GRADIENT,
        batch=16,
        rounds=9,
        least=most and 1 / most,
        same=False,
        layouts=("default",),
        quick=_QUICK,
    )


def _to_zennit(name: str, **settings: Any) -> Contest:
    return Contest(
        "resnet50",
        f"LRP, {name}",
        "zennit",
        _lrp(name),
        Build("benchmarks._zennit_timed", "relevance", {"name": name}),
        batch=16,
        quick=_QUICK,
        **settings,
    )


def _to_captum(ours: str, theirs: str) -> Contest:
    return Contest(
        "resnet50",
        ours.replace("_", " "),
        "captum",
        Build(_OURS, "method", {"name": ours}),
        Build("benchmarks._captum_timed", "rectified", {"name": theirs}),
        batch=16,
        quick=_QUICK,
    )


CONTESTS = [
    _to_gradient("EpsilonPlus", PLUS),
    _to_gradient("EpsilonAlpha2Beta1", ALPHA_BETA),
    _to_zennit("EpsilonPlus", least=LEAST),
    _to_zennit("EpsilonAlpha2Beta1", rounds=3),
    _to_captum("guided_backprop", "GuidedBackprop"),
    _to_captum("deconvnet", "Deconvolution"),
]


if __name__ == "__main__":
    raise SystemExit(main("relevance", CLAIM, __doc__, CONTESTS))
