"""Zennit's composites as candidates, hooks in place before the clock starts."""

import torch

from benchmarks import _theirs, _zennit
from benchmarks._worker import Prepared, Settings

from zennit.attribution import Gradient  # isort: skip (after what declares operators)

_CHUNKS = (1, 2, 4, 8, 16)


def relevance(
    settings: Settings, network: str, batch: int, *, layout: str, name: str
) -> Prepared:
    """A composite by name, its images taken so many at once as is fastest."""
    found = _theirs.load(settings, network, batch, layout=layout)
    with torch.no_grad():
        images = found.module.normalized(found.images)
    composite = _zennit.composite(name, found.module)
    attributor = Gradient(_zennit.canonical(found.module.network), composite)
    # Never left: batch norms are merged once.
    attributor.__enter__()

    def passed(part: slice) -> torch.Tensor:
        start = _zennit.logits_of(found.classes[part])
        return attributor(images[part].contiguous(), start)[1].detach()

    def run(chunk: int) -> _theirs.Run:
        parts = [slice(k, k + chunk) for k in range(0, batch, chunk)]
        return lambda: torch.cat([passed(part) for part in parts])

    choices = [chunk for chunk in _CHUNKS if chunk <= batch]
    return _theirs.tuned(found, "images at once", run, choices)
