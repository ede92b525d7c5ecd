"""SmoothGrad, GradientSHAP, LIME and KernelSHAP against captum's.

    make peers
    .venv-peers/bin/python -m benchmarks.perturbation_sampling --data DIR

Hardware: 2 cores with nothing else running on them. Time: about 6 minutes.
Expected, one image at 224 x 224, both sides with 2 threads: with 16 samples,
SmoothGrad and GradientSHAP (noise of 0.1), and with 64 samples on 8 x 8 cells, LIME and
KernelSHAP, each at least as fast as captum's in torch's default layout, with the best
of its `perturbations_per_eval` (4 to 32) where it has that. The exit code is 1
otherwise. All of them draw, and so the maps are not compared.
"""

from typing import Any

from benchmarks._contest import Contest, main
from benchmarks._worker import Build

CLAIM = "SmoothGrad, GradientSHAP, LIME and KernelSHAP are at least as fast as captum's"
_NOISE = {"num_samples": 16, "stddev": 0.1}
_CELLS = {"num_samples": 64, "grid": 8}


def _contest(
    network: str, rounds: int, shown: str, theirs: str, options: Any, ours: Any
) -> Contest:
    return Contest(
        network,
        f"{shown}, {options['num_samples']} samples",
        "captum",
        Build("benchmarks._ours", "method", {"random": True, **options, **ours}),
        Build("benchmarks._captum_timed", theirs, options),
        rounds=rounds,
        least=1.0,
        random=True,
        quick={"num_samples": 8},
    )


def _contests(network: str, rounds: int) -> list[Contest]:
    smoothgrad = {"name": "gradient", "combined": "smoothgrad"}
    shap = {"name": "expected_gradients", "baselines": True}
    return [
        _contest(network, rounds, "SmoothGrad", "smoothgrad", _NOISE, smoothgrad),
        _contest(network, rounds, "GradientSHAP", "gradient_shap", _NOISE, shap),
        _contest(network, rounds, "LIME", "lime", _CELLS, {"name": "lime"}),
        _contest(
            network,
            rounds,
            "KernelSHAP",
            "kernel_shap",
            _CELLS,
            {"name": "kernel_shap"},
        ),
    ]


CONTESTS = [
    *_contests("resnet50", 3),
    *_contests("vgg16", 1),
    *_contests("mobilenet_v2", 5),
]


if __name__ == "__main__":
    raise SystemExit(main("perturbation_sampling", CLAIM, __doc__, CONTESTS))
