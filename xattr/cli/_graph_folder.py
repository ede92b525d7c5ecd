"""The folder of an explanatory graph: what was asked for, and what is finished."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from xattr.cli._folder import write_whole

if TYPE_CHECKING:
    from xattr.cli._subject import Subject
    from xattr.graph import Features, Fitted
    from xattr.images import Preprocess, Stretch

SETTINGS, STDS, GRAPH = "graph.json", "stds.npz", "graph"


class GraphFolder:
    """Files of a graph, each there whole or not at all.

    Args:
      path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def settings(self) -> dict[str, Any]:
        """What the graph is of.

        Raises:
          FileNotFoundError: if no graph was begun there.
        """
        file = self.path / SETTINGS
        if not file.is_file():
            raise FileNotFoundError(f"{self.path} holds no graph; see `graph fit`.")
        return json.loads(file.read_text())

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Write what the graph is of, or find the same there.

        Raises:
          ValueError: if the folder holds something else.
        """
        text = json.dumps(settings, indent=1)
        file = self.path / SETTINGS
        if file.is_file():
            there, asked = json.loads(file.read_text()), json.loads(text)
            for name in sorted({*there, *asked}):
                if there.get(name) != asked.get(name):
                    raise ValueError(
                        f"`--out` {self.path} was begun with another {name}: "
                        f"{there.get(name)} there, {asked.get(name)} now. Give another "
                        "folder."
                    )
            return
        if self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir())):
            raise ValueError(
                f"`--out` {self.path} holds files that `graph fit` has not written. "
                "Give another folder."
            )
        write_whole(file, lambda out: out.write(text.encode()))

    def stds(self, sites: Sequence[str]) -> dict[str, np.ndarray] | None:
        """Of each unit over the negatives; None if not computed yet."""
        file = self.path / STDS
        if not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as found:
            return {name: found[str(k)] for k, name in enumerate(sites)}

    def keep_stds(self, stds: Mapping[str, Any]) -> None:
        """Write them."""
        arrays = {str(k): np.asarray(x) for k, x in enumerate(stds.values())}
        write_whole(
            self.path / STDS, lambda file: np.savez(file, allow_pickle=False, **arrays)
        )

    def features(self, sites: Sequence[str]) -> dict[str, "Features"] | None:
        """Those of the photographs; None if a site's are not there."""
        from xattr.graph import load_features

        files = [self._features(k) for k in range(len(sites))]
        if not all(file.is_file() for file in files):
            return None
        return {
            name: load_features(file) for name, file in zip(sites, files, strict=True)
        }

    def keep_features(self, features: Mapping[str, "Features"]) -> None:
        """Write them."""
        from xattr.graph import save_features

        self._features(0).parent.mkdir(parents=True, exist_ok=True)
        for number, found in enumerate(features.values()):
            save_features(self._features(number), found)

    def fitted(self, number: int) -> "Fitted | None":
        """A layer and its nodes' places; None if it is not learnt yet."""
        from xattr.graph import Fitted, Layer, Placement

        file = self._layer(number)
        if not file.is_file():
            return None
        with np.load(file, allow_pickle=False) as found:
            layer = Layer(*(found[name] for name in Layer._fields))
            placement = Placement(*(found[name] for name in Placement._fields))
            return Fitted(layer, placement, found["log_likelihood"])

    def keep_fitted(self, number: int, fitted: "Fitted") -> None:
        """Write it."""
        arrays = {**fitted.layer._asdict(), **fitted.placement._asdict()}
        arrays["log_likelihood"] = fitted.log_likelihood
        whole = {name: np.asarray(x) for name, x in arrays.items()}
        write_whole(
            self._layer(number),
            lambda file: np.savez(file, allow_pickle=False, **whole),
        )

    def _features(self, number: int) -> Path:
        return self.path / "features" / f"{number}.npz"

    def _layer(self, number: int) -> Path:
        return self.path / "layers" / f"{number}.npz"


def preprocess_for(subject: "Subject", cut: bool) -> "Preprocess | Stretch":
    """What makes the network's images: the network's own rule, or a whole stretch."""
    from xattr.images import Stretch

    if cut:
        return subject.preprocess
    height, width, _ = subject.preprocess.shape
    return Stretch(height=height, width=width)


def described(preprocess: "Preprocess | Stretch") -> dict[str, Any]:
    """A rule as JSON holds it."""
    return {"kind": type(preprocess).__name__, **asdict(preprocess)}


def preprocess_of(settings: Mapping[str, Any]) -> "Preprocess | Stretch":
    """The rule of a graph."""
    from xattr.images import Preprocess, Stretch

    kinds = {"Preprocess": Preprocess, "Stretch": Stretch}
    found = dict(settings["preprocess"])
    return kinds[found.pop("kind")](**found)


class Photographs:
    """Batches of photographs as a network sees them, and what could not be read.

    Args:
      places: files, folders, archives.
      preprocess: what makes the network's images.
      batch_size: how many are read together.
      leave_out: a folder of which nothing is listed.

    Attributes:
      names: of those that were read so far, in their order.
      skipped: names of those that could not, with the reason.

    Raises:
      ValueError: if there is no image, or the network's are no squares.
    """

    def __init__(
        self,
        places: Sequence[str],
        preprocess: "Preprocess | Stretch",
        batch_size: int,
        leave_out: Path | None = None,
    ) -> None:
        from xattr.data import open_source

        height, width, _ = preprocess.shape
        if height != width:
            raise ValueError(
                f"The network takes images of {height} x {width}; graphs are learnt "
                "from squares here."
            )
        self._source = open_source(list(places), leave_out=leave_out)
        if not len(self._source):
            raise ValueError(f"{' '.join(places)} holds no image.")
        self._preprocess, self._batch_size = preprocess, batch_size
        self.names: list[str] = []
        self.skipped: list[tuple[str, str]] = []

    def __len__(self) -> int:
        """How many there are to read."""
        return len(self._source)

    def batches(self) -> Iterator[UInt8[np.ndarray, "n h w 3"]]:
        """All that can be read."""
        from xattr.data import load_tiles

        self.names, self.skipped = [], []
        tiles = load_tiles(
            self._source,
            range(-(-len(self) // self._batch_size)),
            tile_size=self._batch_size,
            transform=self._preprocess.pixels,
            size=self._preprocess.shape[0],
        )
        for tile in tiles:
            good = [n for n, slot in enumerate(tile.records) if not slot.reason]
            self.names += [tile.records[n].name for n in good]
            self.skipped += [(s.name, s.reason) for s in tile.records if s.reason]
            if good:
                yield tile.images[good]
