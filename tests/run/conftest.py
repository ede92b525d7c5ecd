"""A small network, records that cost nothing to read, and digests of stores."""

import hashlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.cli.conftest import network
from xattr.cli.methods import METHODS
from xattr.data import GrainSource, Source
from xattr.run import Computation, Place, Plan, execute


class Noise:
    """Random photographs, each the same whenever it is read."""

    def __init__(self, count: int, bad: tuple[int, ...] = ()) -> None:
        self.count, self.bad = count, bad

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index in self.bad:
            raise OSError("the disk is gone")
        pixels = np.random.default_rng(index).integers(0, 255, (16, 16, 3), np.uint8)
        label = ("tench", "crane", "3", "nonsense")[index % 4]
        return {"image": pixels, "label": label, "name": f"{index:04d}.png"}


def noise(count: int, bad: tuple[int, ...] = ()) -> GrainSource:
    """So many random photographs, of which some cannot be read."""
    return GrainSource(Noise(count, bad))


_USUAL: dict[tuple[str, ...], Plan] = {}
_COMPUTATIONS: dict[tuple[str, ...], Computation] = {}


def plan(*methods: str, **settings) -> Plan:
    """A plan for the small network; without settings, the same each time."""
    if settings:
        return _plan(methods, settings)
    return _USUAL.setdefault(methods, _plan(methods, settings))


def _plan(methods: tuple[str, ...], settings: dict[str, Any]) -> Plan:
    rows = {name: METHODS[name] for name in methods or ("grad_cam", "gradient")}
    return Plan(
        cast(Any, network()), rows, site="relu:1", **{"tile_size": 8, **settings}
    )


def run(folder: Path, wanted: Plan, source: Source, **options):
    """Compute a whole run into a folder; usual plans are compiled once for all."""
    for methods, usual in _USUAL.items():
        if wanted is usual and "computation" not in options:
            if methods not in _COMPUTATIONS:
                _COMPUTATIONS[methods] = Computation(usual)
            options["computation"] = _COMPUTATIONS[methods]
    return execute(wanted, source, Place(folder), **options)


def digests(folder: Path) -> dict[str, str]:
    """What each file of a store holds."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.fixture(autouse=True)
def compiled_in_full():
    """Compile as users do: bytes are compared."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
