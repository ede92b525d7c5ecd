"""How well nodes keep to parts, beside raw peaks and nodes that never move."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xattr import graph as graphs
from xattr.graph import Graph, Placement

UNITS, DRAWS = 167, 40

Selections = dict[str, tuple[graphs.Interval, graphs.Interval, float]]


def measured_instability(
    nodes: tuple[np.ndarray, np.ndarray],
    raw: tuple[np.ndarray, np.ndarray],
    still: np.ndarray,
    landmarks: np.ndarray,
    strongest: int,
) -> Selections:
    """Of the nodes, of the raw peaks, and of nodes that never move.

    Of all of them, and of as many as `strongest` says.
    """
    found: Selections = {}
    for units in (None, strongest):
        for stricter in (False, True):
            options: Any = {"num_units": units, "visible_first": stricter}
            ours, theirs = (
                graphs.instability_interval(
                    *each, landmarks, num_draws=DRAWS, **options
                )
                for each in (nodes, raw)
            )
            control = graphs.location_instability(still, nodes[1], landmarks, **options)
            name = f"{units or 'all'}, {'stricter' if stricter else 'published'}"
            found[name] = ours, theirs, float(np.nanmean(control))
    return found


def measured_regression(
    nodes: np.ndarray, raw: np.ndarray, still: np.ndarray, landmarks: np.ndarray
) -> Selections:
    """Share of the parts' motion that positions leave unexplained, of the same three.

    Maps are fitted to every second photograph, and measured on the others.
    """
    fitted = np.arange(len(landmarks)) % 2 == 0
    ours, theirs = (
        graphs.regression_intervals(each, landmarks, fitted, num_draws=DRAWS)
        for each in (nodes, raw)
    )
    control = graphs.landmark_regression(still, landmarks, fitted).held_out
    rest = float(np.nanmean(control))
    return {
        "mean of all": (ours.mean, theirs.mean, rest),
        "best for each part": (ours.best, theirs.best, rest),
    }


def over_layers(layers: Sequence[Selections]) -> Selections:
    """The mean of the layers, whose draws are of the same photographs."""

    def mean(intervals: Sequence[graphs.Interval]) -> graphs.Interval:
        draws = np.mean([each.draws for each in intervals], 0)
        return graphs.interval(float(np.mean([each.mean for each in intervals])), draws)

    return {
        name: (
            mean([layer[name][0] for layer in layers]),
            mean([layer[name][1] for layer in layers]),
            float(np.mean([layer[name][2] for layer in layers])),
        )
        for name in layers[0]
    }


def described(selections: Selections) -> dict[str, dict[str, list[float]]]:
    """As JSON holds it, with the ratio to the raw peaks."""
    found = {}
    for name, (ours, theirs, control) in selections.items():
        ratio = graphs.interval(ours.mean / theirs.mean, ours.draws / theirs.draws)
        found[name] = {
            "graph": told(ours),
            "raw peaks": told(theirs),
            "ratio": told(ratio),
            "nodes at rest": [round(control, 4)],
        }
    return found


def told(interval: graphs.Interval) -> list[float]:
    """Mean and ends."""
    return [round(float(x), 4) for x in interval[:3]]


def shares_of(site: graphs.Site, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    """Positions as shares of the image, and scores."""
    return site.fractions(np.asarray(placement.positions)), np.asarray(placement.scores)


def resting(graph: Graph, number: int, count: int) -> np.ndarray:
    """A control: each node where it mostly is, whatever the image shows."""
    still = graph.sites[number].fractions(np.asarray(graph.layers[number].resting))
    return np.broadcast_to(still, (count, *still.shape))
