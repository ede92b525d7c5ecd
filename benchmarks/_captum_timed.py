"""Captum's methods as candidates, with the settings that make them fastest."""

import warnings
from functools import partial
from typing import Any

import captum.attr
import torch

from benchmarks import _theirs
from benchmarks._worker import Prepared, Settings

_CHUNKS = (1, 4, 8, 16, 32)


def occlusion(
    settings: Settings,
    network: str,
    batch: int,
    *,
    layout: str,
    window: int,
    stride: int,
) -> Prepared:
    """`Occlusion`, its `perturbations_per_eval` tried on some 36 positions."""
    found = _theirs.load(settings, network, batch, layout=layout)
    explainer = captum.attr.Occlusion(found.module)

    def run(window: int, stride: int, chunk: int) -> _theirs.Run:
        return _theirs.no_grad(
            lambda: explainer.attribute(
                found.images,
                sliding_window_shapes=(3, window, window),
                strides=(3, stride, stride),
                target=found.classes,
                perturbations_per_eval=chunk,
            )[:, :1]
        )

    coarse = -(-found.images.shape[-1] // 6)
    return _theirs.tuned(
        found,
        "perturbations_per_eval",
        partial(run, window, stride),
        _CHUNKS[1:3] if settings.quick else _CHUNKS,
        partial(run, coarse, coarse),
    )


def integrated_gradients(
    settings: Settings, network: str, batch: int, *, layout: str, num_steps: int
) -> Prepared:
    """`IntegratedGradients` by the midpoint rule, all steps at once or some."""
    found = _theirs.load(settings, network, batch, layout=layout)
    explainer = captum.attr.IntegratedGradients(found.module)

    def run(chunk: int) -> _theirs.Run:
        return lambda: explainer.attribute(
            found.images,
            target=found.classes,
            n_steps=num_steps,
            method="riemann_middle",
            internal_batch_size=chunk,
        )

    choices = (8 * batch, num_steps * batch)
    return _theirs.tuned(found, "internal_batch_size", run, choices)


def rectified(
    settings: Settings, network: str, batch: int, *, layout: str, name: str
) -> Prepared:
    """`GuidedBackprop` or `Deconvolution`, which refuse rectifiers in place."""
    found = _theirs.load(settings, network, batch, layout=layout)
    for module in found.module.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        explainer = getattr(captum.attr, name)(found.module)

    def run() -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return explainer.attribute(found.images, target=found.classes)

    return _theirs.prepared(found, run)


def smoothgrad(
    settings: Settings,
    network: str,
    batch: int,
    *,
    layout: str,
    num_samples: int,
    stddev: float,
) -> Prepared:
    """`NoiseTunnel` around `Saliency`."""
    found = _theirs.load(settings, network, batch, layout=layout)
    explainer = captum.attr.NoiseTunnel(captum.attr.Saliency(found.module))
    return _theirs.prepared(
        found,
        lambda: explainer.attribute(
            found.images,
            nt_samples=num_samples,
            stdevs=stddev,
            target=found.classes,
            abs=False,
        ),
    )


def gradient_shap(
    settings: Settings,
    network: str,
    batch: int,
    *,
    layout: str,
    num_samples: int,
    stddev: float,
) -> Prepared:
    """`GradientShap` over black, gray and white."""
    found = _theirs.load(settings, network, batch, layout=layout)
    explainer = captum.attr.GradientShap(found.module)
    levels = torch.tensor([0.0, 0.5, 1.0]).to(found.images)[:, None, None, None]
    baselines = levels.expand(3, *found.images.shape[1:]).contiguous()
    return _theirs.prepared(
        found,
        lambda: explainer.attribute(
            found.images,
            baselines,
            n_samples=num_samples,
            stdevs=stddev,
            target=found.classes,
        ),
    )


def lime(*case: Any, **options: Any) -> Prepared:
    """`Lime` with its own kernel and regression."""
    return _surrogate(captum.attr.Lime, *case, **options)


def kernel_shap(*case: Any, **options: Any) -> Prepared:
    """`KernelShap`."""
    return _surrogate(captum.attr.KernelShap, *case, **options)


def _surrogate(
    kind: Any,
    settings: Settings,
    network: str,
    batch: int,
    *,
    layout: str,
    grid: int,
    num_samples: int,
) -> Prepared:
    """A linear model on the cells of a grid."""
    found = _theirs.load(settings, network, batch, layout=layout)
    explainer = kind(found.module)
    height, width = found.images.shape[-2:]
    rows = torch.arange(height) * grid // height
    columns = torch.arange(width) * grid // width
    cells = (rows[:, None] * grid + columns)[None, None].to(found.images.device)

    def run(chunk: int, samples: int = num_samples) -> _theirs.Run:
        return _theirs.no_grad(
            lambda: explainer.attribute(
                found.images,
                target=found.classes,
                feature_mask=cells,
                n_samples=samples,
                perturbations_per_eval=chunk,
            )
        )

    return _theirs.tuned(
        found,
        "perturbations_per_eval",
        run,
        _CHUNKS[1:3] if settings.quick else _CHUNKS[1:],
        partial(run, samples=min(32, num_samples)),
    )
