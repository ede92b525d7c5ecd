"""Class activation maps that pytorch-grad-cam has as well."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array, Float, Int

import xattr
from benchmarks import _torchvision  # noqa: F401 (before what imports torchvision)
from benchmarks._case import Case, Comparison, Maps

import pytorch_grad_cam as peer  # isort: skip
from pytorch_grad_cam.utils import model_targets  # isort: skip

_SIGN = "the decomposition leaves the sign open: ours is given theirs"


def comparisons() -> list[Comparison]:
    """Return them, all at the same site."""
    variant = "pytorch-grad-cam"
    plus_plus = partial(xattr.grad_cam_plus_plus, variant=variant)
    differentiated = partial(xattr.grad_cam, score=finer_differentiated)
    centered = partial(xattr.eigen_cam, center=True)
    return [
        _row(peer.GradCAM, xattr.grad_cam, "grad_cam"),
        _row(peer.GradCAMPlusPlus, plus_plus, f"grad_cam_plus_plus({variant})"),
        _row(peer.HiResCAM, xattr.hires_cam, "hires_cam"),
        _row(peer.GradCAMElementWise, _elementwise, "grad_cam_elementwise"),
        _row(peer.XGradCAM, xattr.xgrad_cam, "xgrad_cam"),
        _row(peer.LayerCAM, xattr.layer_cam, "layer_cam"),
        _row(peer.EigenCAM, centered, "eigen_cam(center=True)", note=_SIGN),
        _row(peer.EigenGradCAM, xattr.eigen_grad_cam, "eigen_grad_cam", note=_SIGN),
        _row(
            peer.ShapleyCAM,
            xattr.shapley_cam,
            "shapley_cam",
            name="ShapleyCAM(ClassifierOutputReST)",
            target=model_targets.ClassifierOutputReST,
        ),
        _row(
            peer.FinerCAM,
            differentiated,
            "grad_cam(score=p differentiated)",
            target=None,
            note="the peer differentiates the weights p as well: so does this score",
        ),
        _row(
            peer.FinerCAM,
            partial(xattr.grad_cam, score=xattr.finer),
            "grad_cam(score=finer)",
            name="FinerCAM(target with constant p)",
            target=ConstantFiner,
            note="the published score, whose p are constants, given to both sides",
        ),
    ]


def _row(
    cam: Any,
    method: Callable[..., Array],
    ours: str,
    *,
    name: str | None = None,
    target: Any = model_targets.ClassifierOutputTarget,
    note: str = "",
) -> Comparison:
    pairs = partial(_pairs, cam, method, target)
    return Comparison("grad-cam", name or cam.__name__, ours, pairs, note=note)


def _pairs(
    cam: Any, method: Callable[..., Array], target: Any, case: Case
) -> list[tuple[Maps, Maps]]:
    """Raw maps, and the pictures that the peer makes of them."""
    theirs, pictures = _raw_and_pictures(cam, target, case)
    maps = method(case.model, case.images, case.classes, site=case.site, relu=False)
    ours = np.asarray(maps)
    if cam in (peer.EigenCAM, peer.EigenGradCAM):
        ours = ours * np.sign((ours * theirs).sum((1, 2), keepdims=True))
    return [(ours, theirs), (_pictures(ours, case), pictures)]


def _raw_and_pictures(cam: Any, target: Any, case: Case) -> tuple[Maps, Maps]:
    """The peer's weighted sum before its ReLU, and what it returns."""
    explainer = cam(case.module, [case.layer])
    base = getattr(explainer, "base_cam", explainer)
    kept: list[Maps] = []
    inner = base.get_cam_image

    def keep(*args: Any, **kwargs: Any) -> Maps:
        kept.append(np.array(inner(*args, **kwargs)))
        return kept[-1]

    base.get_cam_image = keep
    targets = target and [target(k) for k in case.targets.tolist()]
    pictures = explainer(case.inputs, targets)
    base.activations_and_grads.release()
    return kept[0], pictures


def _pictures(maps: Maps, case: Case) -> Maps:
    size = (case.images.shape[1], case.images.shape[2])
    resized = xattr.images.resize(jax.nn.relu(jnp.asarray(maps)), size)
    return np.asarray(xattr.images.min_max(resized))


def _elementwise(*args: Any, relu: bool, **kwargs: Any) -> Array:
    del relu  # Inside the sum, on both sides.
    return xattr.grad_cam_elementwise(*args, **kwargs)


def finer_differentiated(
    outputs: Float[Array, "n k"], targets: Int[Array, " n"]
) -> Float[Array, " n"]:
    """The score of Finer-CAM as the peer has it: its weights are differentiated."""
    target = jnp.take_along_axis(outputs, targets[:, None], axis=1)
    nearest = jnp.argsort(jnp.abs(outputs - target), axis=1)[:, 1:4]
    p = jnp.take_along_axis(jax.nn.softmax(outputs), nearest, axis=1)
    lead = target - jnp.take_along_axis(outputs, nearest, axis=1)
    return (p * lead).sum(axis=1) / (p.sum(axis=1) + 1e-9)


class ConstantFiner:
    """The score of Finer-CAM as published, for torch: its weights are constants."""

    def __init__(self, category: int):
        self.category = category

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Score of one image's logits."""
        target = outputs[self.category]
        nearest = (outputs - target).abs().argsort(stable=True)[1:4]
        p = outputs.softmax(0)[nearest].detach()
        return (p * (target - outputs[nearest])).sum() / p.sum()
