"""A process of the run that `run.py` kills; every tile that is computed is a line.

python experiments/kills/worker.py STORE LOG COUNT SHARE IMAGES...
"""

import os
import sys
from pathlib import Path

import jax

from xattr.cli.methods import METHODS
from xattr.data import open_source
from xattr.models import load
from xattr.run import Place, Plan, Share, _writer, execute

METHOD, TILE = "grad_cam", 8


class Prefix:
    """The first records of a source."""

    def __init__(self, source, count: int) -> None:
        self._source, self._count = source, count
        self.describe, self.fingerprint = source.describe, source.fingerprint

    def __len__(self) -> int:
        return min(self._count, len(self._source))

    def __getitem__(self, index: int):
        return self._source[index]


def main(store: str, log: str, count: int, share: Share, images: list[str]) -> None:
    """Compute a share, noting each tile between its computation and its writing."""
    collect = _writer.collect

    def noted(computation, group, layouts, classes):
        with Path(log).open("a") as file:
            # One write call, so that a kill leaves whole lines.
            lines = "".join(f"{tile.number}\n" for tile in group.tiles)
            os.write(file.fileno(), lines.encode())
        return collect(computation, group, layouts, classes)

    _writer.collect = noted
    pretrained = load("mobilenet_v2")
    plan = Plan(
        pretrained, {METHOD: METHODS[METHOD]}, site=pretrained.site, tile_size=TILE
    )
    execute(plan, Prefix(open_source(images), count), Place(store), share=share)


if __name__ == "__main__":
    jax.config.update("jax_compilation_cache_dir", f"{sys.argv[2]}.cache")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    number, parts = map(int, sys.argv[4].split("/"))
    main(*sys.argv[1:3], int(sys.argv[3]), Share(number, parts), sys.argv[5:])
