"""Relevance that zennit has as well."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks import _torchvision  # (before what imports torchvision)
from benchmarks._case import Case, Comparison, Maps, from_torch
from xattr import relevance
from xattr.program import Composite

from zennit import composites as peer  # isort: skip
from zennit.attribution import Gradient  # isort: skip
from zennit.canonizers import Canonizer  # isort: skip
from zennit.torchvision import ResNetCanonizer  # isort: skip

COMPOSITES = {
    "EpsilonPlus": relevance.epsilon_plus,
    "EpsilonPlusFlat": relevance.epsilon_plus_flat,
    "EpsilonAlpha2Beta1": relevance.epsilon_alpha2_beta1,
    "EpsilonAlpha2Beta1Flat": relevance.epsilon_alpha2_beta1_flat,
    "EpsilonGammaBox": relevance.epsilon_gamma_box,
}
GRADIENTS = {
    "GuidedBackprop": relevance.guided_backprop,
    "DeconvNet": relevance.deconvnet,
}


def comparisons() -> list[Comparison]:
    """Return them, composites first."""
    return [
        *(
            Comparison(
                "zennit",
                name,
                f"lrp({ours.__name__})",
                partial(_lrp, name, ours()),
                kinks=True,
            )
            for name, ours in COMPOSITES.items()
        ),
        *(
            Comparison(
                "zennit",
                name,
                ours.__name__,
                partial(_gradient, name, ours),
                kinks=True,
            )
            for name, ours in GRADIENTS.items()
        ),
    ]


def canonical(network: torch.nn.Module) -> torch.nn.Module:
    """The same, with the epsilon of each batch norm as part of its variance.

    The peer merges a batch norm into the layer before it, and leaves in its place one
    of variance 1 that still adds its epsilon: outputs change by 5e-6 for each.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var += module.eps
            module.eps = 0.0
    return network


def canonizers() -> list[Canonizer]:
    """What makes rules apply: batch norms merged, sums of residual blocks as layers."""
    return [ResNetCanonizer()]


def composite(name: str, module: _torchvision.Normalized, **options: Any):
    """The peer's composite of that name."""
    if name == "EpsilonGammaBox":
        black, white = (torch.full((1, 3, 1, 1), end) for end in (0.0, 1.0))
        options["low"] = module.normalized(black.to(torch.get_default_dtype()))
        options["high"] = module.normalized(white.to(torch.get_default_dtype()))
    return getattr(peer, name)(canonizers=canonizers(), **options)


def _lrp(name: str, ours: Composite, case: Case) -> list[tuple[Maps, Maps]]:
    inputs = case.module.normalized(case.inputs.detach())
    chosen = composite(name, case.module)
    with Gradient(canonical(case.module.network), chosen) as attributor:
        _, passed = attributor(inputs, logits_of(case.targets))
    if case.module.channels == "BGR":
        passed = passed.flip(1)
    maps = relevance.lrp(case.model, case.images, case.classes, composite=ours)
    return [(np.asarray(maps), from_torch(passed))]


def logits_of(targets: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """From outputs to where relevance starts: the logits explained, nothing else."""
    return lambda outputs: outputs * _chosen(targets, outputs)


def _chosen(targets: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)


def _gradient(name: str, ours: Any, case: Case) -> list[tuple[Maps, Maps]]:
    with Gradient(case.module, getattr(peer, name)()) as attributor:
        _, passed = attributor(case.inputs.detach(), partial(_chosen, case.targets))
    maps = ours(case.model, case.images, case.classes)
    return [(np.asarray(maps), from_torch(passed))]
