"""RISE written plainly for torch, as there is no library of it to compare with."""

from functools import partial

import torch
from torch.nn import functional

from benchmarks import _theirs
from benchmarks._worker import Prepared, Settings

_CHUNKS = (8, 16, 32)


def rise(
    settings: Settings,
    network: str,
    batch: int,
    *,
    layout: str,
    num_masks: int,
    grid: int,
    keep: float,
) -> Prepared:
    """Masks drawn, enlarged and applied in chunks; the size of these is tried."""
    found = _theirs.load(settings, network, batch, layout=layout)

    def run(chunk: int, count: int = num_masks) -> _theirs.Run:
        return _theirs.no_grad(lambda: _maps(found, chunk, count, grid, keep))

    choices = _CHUNKS[:2] if settings.quick else _CHUNKS
    probe = partial(run, count=min(32, num_masks))
    return _theirs.tuned(found, "chunk", run, choices, probe)


def _maps(
    found: _theirs.Theirs, chunk: int, count: int, grid: int, keep: float
) -> torch.Tensor:
    """Mean of the masks, weighted by the probability under each."""
    maps = torch.zeros_like(found.images[:, :1])
    for start in range(0, count, chunk):
        masks = _masks(found.images, min(chunk, count - start), grid, keep)
        for k, (image, target) in enumerate(
            zip(found.images, found.classes, strict=True)
        ):
            scores = found.module(image * masks).softmax(1)[:, target]
            maps[k] += torch.tensordot(scores, masks, 1)
    return maps / (count * keep)


def _masks(images: torch.Tensor, count: int, grid: int, keep: float) -> torch.Tensor:
    """Random cells, bilinearly enlarged and shifted by less than a cell."""
    side = images.shape[-1]
    cell = -(-side // grid)
    size = (grid + 1) * cell
    cells = (torch.rand(count, 1, grid, grid, device=images.device) < keep).to(images)
    large = functional.interpolate(
        cells, (size, size), mode="bilinear", align_corners=False
    )
    corners = torch.randint(0, cell, (count, 2)).tolist()
    parts = [
        mask[:, i : i + side, j : j + side]
        for mask, (i, j) in zip(large, corners, strict=True)
    ]
    return torch.stack(parts)
