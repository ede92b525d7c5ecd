"""Methods that captum has as well."""

import warnings
from functools import partial
from typing import Any

import captum.attr
import numpy as np
import torch

import xattr
from benchmarks._case import Case, Comparison, Maps, from_torch, to_torch

STEPS = 8
# The second leaves a part of the image at the border.
WINDOWS = (((96, 96), (64, 64)), ((80, 100), (53, 61)))


def comparisons() -> list[Comparison]:
    """Return them, cheapest first."""
    return [
        Comparison(
            "captum",
            "LayerGradCam(relu_attributions=False)",
            "grad_cam(relu=False)",
            _layer_grad_cam,
        ),
        *(
            Comparison(
                "captum",
                f"Occlusion({window}, {stride})",
                "occlusion",
                partial(_occlusion, window, stride),
            )
            for window, stride in WINDOWS
        ),
        Comparison(
            "captum",
            "GuidedGradCam(interpolate_mode='bilinear')",
            "guided_grad_cam",
            _guided_grad_cam,
            kinks=True,
        ),
        Comparison("captum", "Saliency(abs=False)", "gradient", _saliency, kinks=True),
        Comparison(
            "captum",
            f"IntegratedGradients(gausslegendre, {STEPS})",
            "integrated_gradients(gauss_legendre)",
            partial(_integrated, "gausslegendre", "gauss_legendre", 1.0),
            kinks=True,
        ),
        Comparison(
            "captum",
            f"IntegratedGradients(riemann_trapezoid, {STEPS})",
            "integrated_gradients(trapezoid)",
            partial(_integrated, "riemann_trapezoid", "trapezoid", (STEPS - 1) / STEPS),
            kinks=True,
            note="captum's weights sum to (n - 1)/n, ours to 1: ours is multiplied by "
            f"{STEPS - 1}/{STEPS}",
        ),
    ]


def _guided_grad_cam(case: Case) -> list[tuple[Maps, Maps]]:
    method = captum.attr.GuidedGradCam(case.module, case.layer)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks")
        theirs = method.attribute(
            case.inputs, target=case.targets, interpolate_mode="bilinear"
        )
    ours = xattr.guided_grad_cam(case.model, case.images, case.classes, site=case.site)
    return [(np.asarray(ours), from_torch(theirs))]


def _saliency(case: Case) -> list[tuple[Maps, Maps]]:
    theirs = captum.attr.Saliency(case.module).attribute(
        case.inputs, target=case.targets, abs=False
    )
    ours = xattr.gradient(case.model, case.images, case.classes)
    return [(np.asarray(ours), from_torch(theirs))]


def _integrated(
    method: str, rule: Any, factor: float, case: Case
) -> list[tuple[Maps, Maps]]:
    theirs = captum.attr.IntegratedGradients(case.module).attribute(
        case.inputs,
        to_torch(case.baseline),
        target=case.targets,
        n_steps=STEPS,
        method=method,
        internal_batch_size=16,
    )
    ours = xattr.integrated_gradients(
        case.model,
        case.images,
        case.classes,
        baseline=case.baseline,
        num_steps=STEPS,
        rule=rule,
    )
    return [(np.asarray(ours) * factor, from_torch(theirs))]


def _layer_grad_cam(case: Case) -> list[tuple[Maps, Maps]]:
    theirs = captum.attr.LayerGradCam(case.module, case.layer).attribute(
        case.inputs, target=case.targets, relu_attributions=False
    )
    ours = xattr.grad_cam(
        case.model, case.images, case.classes, site=case.site, relu=False
    )
    return [(np.asarray(ours), from_torch(theirs)[..., 0])]


def _occlusion(
    window: tuple[int, int], stride: tuple[int, int], case: Case
) -> list[tuple[Maps, Maps]]:
    with torch.no_grad():
        theirs = captum.attr.Occlusion(case.module).attribute(
            case.inputs,
            sliding_window_shapes=(3, *window),
            strides=(3, *stride),
            target=case.targets,
            perturbations_per_eval=4,
        )
    ours = xattr.occlusion(
        case.model, case.images, case.classes, window=window, stride=stride
    )
    # The peer repeats for each color what it found for all of them at once.
    maps = from_torch(theirs)
    return [(np.broadcast_to(np.asarray(ours), maps.shape), maps)]
