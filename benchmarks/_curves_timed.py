"""Deletion and insertion of torch-cam and Quantus as candidates."""

import contextlib
import functools
import warnings
from typing import Any

import numpy as np
import torch

from benchmarks import _theirs
from benchmarks._curves_maps import maps_of
from benchmarks._worker import Prepared, Settings

# What a size of batches is tried on: torch-cam batches the steps of one image, Quantus
# the images of one step.
_PROBED = 8
_PROBED_IMAGES, _PROBED_STEPS = 16, 28


class _Given:
    """What torch-cam asks an extractor for, with maps that are there already."""

    def __init__(self, found: _theirs.Theirs):
        self.model = found.module
        self.maps = torch.from_numpy(_maps(found)).to(found.images)

    def __call__(self, *_: Any, **__: Any) -> list[torch.Tensor]:
        return [self.maps]

    def fuse_cams(self, cams: list[torch.Tensor]) -> torch.Tensor:
        return cams[0]

    def _hooks_off(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def either(
    settings: Settings, network: str, batch: int, *, peer: str, num_steps: int
) -> Prepared:
    """The peer of that name in torch's default layout."""
    build = {"torch-cam": torchcam, "Quantus": quantus}[peer]
    return build(settings, network, batch, layout="default", num_steps=num_steps)


def torchcam(
    settings: Settings, network: str, batch: int, *, layout: str, num_steps: int
) -> Prepared:
    """Its class for both, with the fastest of some sizes of its batches."""
    from torchcam.metrics import DeletionInsertionMetric

    found = _theirs.load(settings, network, batch, layout=layout)
    extractor = _Given(found)

    def run(size: int, steps: int = num_steps) -> _theirs.Run:
        def areas() -> np.ndarray:
            metric = DeletionInsertionMetric(
                extractor,
                functools.partial(torch.softmax, dim=-1),
                steps=steps,
                batch_size=size,
            )
            metric.update(found.images, found.classes.tolist())
            return np.array([list(metric.summary().values())])

        return _theirs.no_grad(areas)

    choices = (8, 16) if settings.quick else (8, 16, 32, 64)
    probe = functools.partial(run, steps=min(_PROBED, num_steps))
    return _theirs.tuned(found, "batch size", run, choices, probe)


def quantus(
    settings: Settings, network: str, batch: int, *, layout: str, num_steps: int
) -> Prepared:
    """Its pixel flipping, once in the map's order and once in reverse.

    Least relevant first, read backwards, is insertion. Its batches are of images; a
    step is one pass of all of them.
    """
    import quantus as peer

    found = _theirs.load(settings, network, batch, layout=layout)
    pixels = found.images.float().cpu().numpy()
    classes = found.classes.cpu().numpy()
    # The channels of a pixel one after the other: there a feature is one channel.
    channels = np.arange(pixels.shape[1], dtype=np.float32)[:, None, None]
    maps = _maps(found)[:, None] * len(channels) + channels

    def curve(maps: np.ndarray, size: int, steps: int) -> np.ndarray:
        metric = peer.PixelFlipping(
            features_in_step=maps[0].size // steps,
            perturb_baseline=0.0,
            abs=False,
            normalise=False,
            return_aggregate=False,
            disable_warnings=True,
        )
        # It wants steps that divide the pixels of one channel.
        metric.custom_preprocess = lambda **_: None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = metric(
                model=found.module,
                x_batch=pixels[: len(maps)],
                y_batch=classes[: len(maps)],
                a_batch=maps,
                softmax=True,
                device=found.images.device.type,
                batch_size=size,
                channel_first=True,
            )
        return np.array(scores)[:, :steps]

    def probe(size: int) -> _theirs.Run:
        few = maps[:_PROBED_IMAGES]
        return _theirs.no_grad(lambda: curve(few, size, _PROBED_STEPS))

    def run(size: int) -> _theirs.Run:
        def areas() -> np.ndarray:
            clean = found.module(found.images).float().softmax(1).cpu().numpy()
            first = clean[np.arange(batch), classes][:, None]
            both = [curve(sign * maps, size, num_steps) for sign in (1, -1)]
            heights = [np.concatenate([first, scores], 1) for scores in both]
            middles = [(scores[:, 1:] + scores[:, :-1]) / 2 for scores in heights]
            return np.array([[middle.mean() for middle in middles]])

        return _theirs.no_grad(areas)

    # There is nothing to batch but images.
    choices = tuple(size for size in (2, 4, 8, 16) if size <= batch)
    if settings.quick or len(choices) < 2:
        return _theirs.prepared(found, run(batch), {"batch size": batch})
    return _theirs.tuned(found, "batch size", run, choices, probe)


def _maps(found: _theirs.Theirs) -> np.ndarray:
    return maps_of(found.images.float().movedim(1, -1).cpu().numpy())
