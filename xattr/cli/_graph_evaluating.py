"""How well the nodes of a graph keep to the parts of objects."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from xattr.cli._console import progress_bar, say, show_table
from xattr.cli._folder import write_whole
from xattr.cli._graph_fitting import LEAST
from xattr.cli._graph_folder import GRAPH, GraphFolder, Photographs, preprocess_of
from xattr.images import Preprocess, Stretch

if TYPE_CHECKING:
    from xattr.graph import Features, Graph, Placement

EVALUATION = "evaluation.csv"
_COLUMNS = ("file", "width", "height", "part", "x", "y")
_UNITS, _BATCH = 167, 50


def evaluate_graph(
    path: Path, data: Sequence[str], landmarks: Path, draws: int, batch_size: int
) -> None:
    """Print and write how a graph does on photographs with landmarks.

    Raises:
      FileNotFoundError: if there is no graph or no table.
      ValueError: if the table is wrong, or names too few of the photographs.
    """
    from xattr.cli._subject import find_subject
    from xattr.graph import extract, infer, load

    folder = GraphFolder(path)
    settings = folder.settings()
    graph, _ = load(path / GRAPH)
    preprocess = preprocess_of(settings)
    parts, marked = read_landmarks(landmarks, preprocess)
    file = settings["weights_file"]
    weights = None if file is None else Path(file)
    subject = find_subject(settings["model"], weights, settings["size"])
    photographs = Photographs(data, preprocess, batch_size, path)

    def batches() -> Iterator[np.ndarray]:
        with progress_bar("photographs: ", "reading") as bar:
            for batch in photographs.batches():
                yield batch.astype(np.float32) / 255
                bar.show(len(photographs.names), len(photographs))

    sites = [site.name for site in graph.sites]
    stds = dict(zip(sites, graph.stds, strict=True))
    features = extract(subject.model, batches(), sites, stds)
    nothing = np.full((len(parts), 2), np.nan)
    places = np.stack([marked.get(name, nothing) for name in photographs.names])
    seen = int((~np.isnan(places).all((1, 2))).sum())
    if seen < LEAST:
        raise ValueError(
            f"`--landmarks` {landmarks} names {seen or 'none'} of the {len(places)} "
            f"photographs, such as {photographs.names[0]!r}; at least {LEAST} are "
            "needed, better some hundred."
        )
    rows = list(_rows(graph, features, infer(graph, features), places, draws))
    heads = list(rows[0])
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = text.getvalue().encode()
    write_whole(path / EVALUATION, lambda out: out.write(content))
    show_table(heads, [list(row.values()) for row in rows])
    for name, reason in photographs.skipped:
        say(f"Skipped: {name}: {reason}", error=True)
    say(f"Table: {path / EVALUATION}")


def _rows(
    graph: "Graph",
    features: Mapping[str, "Features"],
    placements: Sequence["Placement"],
    places: Float[np.ndarray, "i k 2"],
    draws: int,
) -> Iterator[dict[str, str]]:
    """One for each layer, selection and protocol."""
    from xattr.graph import (
        explained_shares,
        instability_interval,
        interval,
        landmark_discs,
        part_purity,
    )

    shares = explained_shares(graph, dict(features), tuple(placements))
    discs = landmark_discs(places, size=(56, 56))
    layers = zip(graph.sites, graph.stds, placements, shares, strict=True)
    for site, std, placement, share in layers:
        raw = plain_peaks(features[site.name], std)
        both = [
            (site.fractions(np.asarray(p.positions)), np.asarray(p.scores))
            for p in (placement, raw)
        ]
        pure = [float(np.nanmean(part_purity(*each, discs))) for each in both]
        for units in (None, _UNITS):
            for stricter in (False, True):
                if units is not None and units > raw.scores.shape[1]:
                    continue
                nodes, peaks = (
                    instability_interval(
                        *each,
                        places,
                        num_units=units,
                        visible_first=stricter,
                        num_draws=draws,
                    )
                    for each in both
                )
                ratio = interval(nodes.mean / peaks.mean, nodes.draws / peaks.draws)
                yield {
                    "site": site.name,
                    "units": "all" if units is None else str(units),
                    "protocol": "stricter" if stricter else "published",
                    "graph": _told(nodes),
                    "raw peaks": _told(peaks),
                    "ratio": _told(ratio),
                    "purity": f"{pure[0]:.3f}",
                    "purity of raw peaks": f"{pure[1]:.3f}",
                    "explained": f"{float(np.mean(share)):.3f}",
                }


def plain_peaks(features: "Features", std: Float[np.ndarray, "h w d"]) -> "Placement":
    """Raw peaks of the activations as they are, not in units of what they vary by."""
    import jax.numpy as jnp

    from xattr.graph import Features, Placement, mass, raw_peaks

    unit = jnp.ones_like(features.step)
    found = [
        raw_peaks(Features(mass(features, slice(k, k + _BATCH)) * std[None], unit))
        for k in range(0, len(features.levels), _BATCH)
    ]
    return Placement(*(jnp.concatenate(each) for each in zip(*found, strict=True)))


def _told(found) -> str:
    return f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"


def read_landmarks(
    path: Path, preprocess: Preprocess | Stretch
) -> tuple[list[str], dict[str, Float[np.ndarray, "k 2"]]]:
    """Parts, and where they are in each photograph: (row, column) shares, or NaN.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if a column is missing, a number is none, a photograph has no size, or
        a landmark is outside of it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"`--landmarks` {path} is no file.")
    found: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    parts: dict[str, None] = {}
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = [c for c in _COLUMNS if c not in (table.fieldnames or ())]
        if missing:
            raise ValueError(
                f"`--landmarks` {path} has no column {missing[0]!r}; needed are "
                f"{', '.join(_COLUMNS)}."
            )
        for line, row in enumerate(table, 2):
            try:
                width, height, x, y = (
                    float(row[c]) for c in ("width", "height", "x", "y")
                )
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"`--landmarks` {path}, line {line}: {error}."
                ) from None
            if not (0 < width < np.inf and 0 < height < np.inf):
                raise ValueError(
                    f"`--landmarks` {path}, line {line}: {width:g} x {height:g} pixels "
                    "are no photograph's."
                )
            if not (0 <= x <= width and 0 <= y <= height):
                raise ValueError(
                    f"`--landmarks` {path}, line {line}: the {row['part']} of "
                    f"{row['file']} at ({x:g}, {y:g}) is outside of the photograph's "
                    f"{width:g} x {height:g} pixels."
                )
            parts.setdefault(row["part"])
            found[row["file"]][row["part"]] = _seen(preprocess, x, y, width, height)
    names = list(parts)
    nothing = (np.nan, np.nan)
    return names, {
        file: np.array([places.get(part, nothing) for part in names])
        for file, places in found.items()
    }


def _seen(
    preprocess: Preprocess | Stretch, x: float, y: float, width: float, height: float
) -> tuple[float, float]:
    """Where a place of a photograph is in the network's image; NaN if it is cut off."""
    if isinstance(preprocess, Stretch):
        return y / height, x / width
    size = preprocess.size
    box = np.array([[x, y, x, y]])
    left, top = preprocess.boxes(box, (round(height), round(width)))[0, :2]
    if not (0 < left < size and 0 < top < size):
        return np.nan, np.nan
    return top / size, left / size
