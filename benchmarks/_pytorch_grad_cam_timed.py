"""Pytorch-grad-cam's class activation maps as candidates."""

import functools
import sys

import numpy as np
import tqdm

from benchmarks import _theirs
from benchmarks._worker import Prepared, Settings

import pytorch_grad_cam as peer  # isort: skip (after what declares operators)
from pytorch_grad_cam.utils.model_targets import (  # isort: skip
    ClassifierOutputTarget,
)

_GRADIENT_FREE = (peer.AblationCAM, peer.EigenCAM, peer.ScoreCAM)


def cam(
    settings: Settings, network: str, batch: int, *, layout: str, name: str
) -> Prepared:
    """A class of the library by name, at the last block; it returns pictures.

    Those that differentiate find their gradients through the parameters, which are
    therefore not frozen.
    """
    kind = getattr(peer, name)
    free = kind in _GRADIENT_FREE
    found = _theirs.load(
        settings, network, batch, layout=layout, frozen=None if free else False
    )
    _silence()
    # Its arrays are NumPy's, which has no bfloat16.
    wide = (lambda x: x.float()) if settings.dtype == "bfloat16" else None
    explainer = kind(found.module, [found.layer], reshape_transform=wide)
    targets = [ClassifierOutputTarget(k) for k in found.classes.tolist()]

    def run() -> np.ndarray:
        return explainer(found.images, targets)

    return _theirs.prepared(found, _theirs.no_grad(run) if free else run)


def _silence() -> None:
    """Draw no progress bars: they would be timed too."""
    for name in ("ablation_cam", "score_cam"):
        module = sys.modules[f"pytorch_grad_cam.{name}"]
        quiet = functools.partial(tqdm.tqdm, disable=True)
        module.tqdm = type("Quiet", (), {"tqdm": staticmethod(quiet)})  # type: ignore[attr-defined]
