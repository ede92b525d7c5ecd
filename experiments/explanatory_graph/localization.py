"""Parts located from a few annotations: by nodes, raw peaks, a probe, a mean."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from xattr import graph as graphs
from xattr.graph import Features, Graph, Placement

ANNOTATIONS, REPETITIONS = (1, 3, 5, 10), 5


def probe(
    train: np.ndarray, annotations: np.ndarray, test: np.ndarray, *, ridge: float = 1.0
) -> np.ndarray:
    """A linear probe: cells near the part against all others, by ridge regression."""
    count, height, width, channels = train.shape
    rows = (np.arange(height) + 0.5) / height
    columns = (np.arange(width) + 0.5) / width
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)
    apart = ((grid[None] - annotations[:, None, None]) ** 2).sum(-1)
    wanted = np.exp(-apart / (2 * 0.08**2)).reshape(-1)
    flat = train.reshape(-1, channels)
    scale = flat.std() + 1e-6
    x = np.concatenate([flat / scale, np.ones((len(flat), 1))], 1)
    kernel = x @ x.T / channels
    dual = np.linalg.solve(kernel + ridge * np.eye(len(x)) / len(x), wanted)
    weights = x.T @ dual / channels
    maps = (test.reshape(len(test), -1, channels) / scale) @ weights[:-1]
    return grid.reshape(-1, 2)[maps.argmax(1)]


def localization(
    graph: Graph,
    features: dict[str, Features],
    placements: Sequence[Placement],
    landmarks: np.ndarray,
    chosen: np.ndarray,
    asked: np.ndarray,
) -> dict[str, dict[str, list[float]]]:
    """Mean normalized distance for some numbers of annotations, with its deviation.

    Annotated photographs are drawn from those the graph was learnt from.
    """
    raw = [graphs.raw_peaks(features[site.name]) for site in graph.sites]
    kinds = {
        "graph": graphs.joined_nodes(placements, graph.sites),
        "raw peaks": graphs.joined_nodes(
            [p._replace(scores=p.scores / p.scores.mean()) for p in raw],
            [replace(site, nodes_per_channel=1) for site in graph.sites],
        ),
    }
    middle = graph.sites[min(1, len(graph.sites) - 1)].name
    cells = np.asarray(graphs.mass(features[middle]), np.float32)
    rng = np.random.default_rng(0)
    found: dict[str, dict[str, list[float]]] = {}
    for number in ANNOTATIONS:
        distances: dict[str, list[float]] = {}
        for k in range(landmarks.shape[1]):
            seen = ~np.isnan(landmarks[:, k, 0])
            from_these, in_these = chosen[seen[chosen]], asked[seen[asked]]
            true = landmarks[in_these, k]
            for _ in range(REPETITIONS):
                taken = rng.choice(from_these, number, replace=False)
                marks = landmarks[taken, k]
                guesses: dict[str, np.ndarray] = {
                    "mean position": np.broadcast_to(
                        graphs.mean_position(marks), true.shape
                    ),
                    "linear probe": probe(cells[taken], marks, cells[in_these]),
                }
                for name, (positions, scores) in kinds.items():
                    parts = graphs.fit_part(positions[taken], scores[taken], marks)
                    there = graphs.locate_part(
                        parts, positions[in_these], scores[in_these]
                    )
                    guesses[name] = np.asarray(there.positions)
                for name, guess in guesses.items():
                    # A part is nowhere where none of its nodes votes.
                    apart = graphs.normalized_distance(guess, true)
                    distances.setdefault(name, []).append(float(np.nanmean(apart)))
        found[str(number)] = {
            name: [round(float(np.mean(d)), 4), round(float(np.std(d)), 4)]
            for name, d in distances.items()
        }
    return found
