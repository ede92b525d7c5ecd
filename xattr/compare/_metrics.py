"""The table of metrics: what a comparison measures, and how under each budget."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from xattr import metrics
from xattr._types import Predictor

Kind = Literal["maps", "model", "host", "method"]
Takes = Literal["maps", "masks", "boxes", "model", "method", "weights"]


class Scene(NamedTuple):
    """What metrics are given of a tile of records, beside maps.

    Attributes:
      model: the network.
      images: as the network takes them.
      targets: the explained classes.
      keys: one per record, those that its maps were made with.
      draws: another one, so that what metrics draw is none of what methods drew.
      seed: the key that they come from.
      boxes: where the objects are, NaN where no box is known.
      masks: which pixels show them, empty where that is not known.
    """

    model: Predictor
    images: Float[Array, "n h w c"]
    targets: Int[Array, " n"]
    keys: PRNGKeyArray
    draws: PRNGKeyArray
    seed: PRNGKeyArray
    boxes: Float[Array, "n m 4"]
    masks: Bool[Array, "n h w"]


@dataclass(frozen=True)
class MetricRow:
    """One metric as a comparison computes it.

    Attributes:
      name: how it is asked for.
      summary: what its numbers mean, in a line.
      function: of `xattr.metrics`.
      takes: what the function is given, and in which order.
      kind: what it takes: "maps" alone or with annotations; the "model" too; the same
        on the "host"; or the "method", which explains again.
      better: which direction is.
      quick: hyperparameters of the budget of that name.
      paper: those of the publication, where they are not the metric's own.
      shared: whether the model is evaluated on images that don't depend on the maps.
      annotated: whether it needs to know where the object is.
      evaluations: of the network per map, where they can't be counted: on the host; or
        how often a method explains again. Of all hyperparameters.
      over_data: from the curves of all records to one number, where that is no mean of
        values.
    """

    name: str
    summary: str
    function: Callable[..., Any]
    takes: Takes
    kind: Kind
    better: Literal["higher", "lower"]
    quick: Mapping[str, Any] = field(default_factory=dict)
    paper: Mapping[str, Any] = field(default_factory=dict)
    shared: bool = False
    annotated: bool = False
    evaluations: Callable[[Mapping[str, Any]], int] = lambda settings: 0
    over_data: Callable[[Float[np.ndarray, "n s"]], float] | None = None

    def measure(self, scene: Scene, subject: Any, **settings: Any) -> Any:
        """Call the function: of maps, or of a method that explains again."""
        model = scene.model, scene.images
        match self.takes:
            case "maps":
                return self.function(subject, **settings)
            case "masks":
                return self.function(subject, scene.masks, **settings)
            case "boxes":
                return self.function(subject, scene.boxes, **settings)
            case "model":
                own, key = (*model, subject, scene.targets), scene.draws
            case "method":
                own, key = (subject, *model, scene.targets), scene.keys
            case "weights":  # the same new weights for all records
                own, key = (subject, *model, scene.targets), scene.seed
        return self.function(*own, **settings, key=key)

    def measured(self, found: Any) -> tuple[Any, Any]:
        """A value for each record, and the curve that it is made of or None."""
        if isinstance(found, metrics.Curve):
            return found.area, found.scores
        if isinstance(found, metrics.Road):
            return found.value, found.scores
        if isinstance(found, metrics.Randomization):
            # Of a map that is constant at a stage, nothing can be said there.
            return jnp.nanmean(found.similarity, -1), found.similarity
        if isinstance(found, metrics.SensitivityN):
            return jnp.nanmean(found.correlations, -1), found.correlations
        if isinstance(found, metrics.Adcc):
            return found.value, None
        return (found, None) if found.ndim == 1 else (found.max(-1), found)


def _row(
    function: Callable[..., Any],
    takes: Takes,
    better: Literal["higher", "lower"],
    *,
    kind: Kind | None = None,
    name: str = "",
    summary: str = "",
    **traits: Any,
) -> MetricRow:
    summary = summary or (function.__doc__ or "").strip().splitlines()[0]
    annotated = takes in ("masks", "boxes")
    usual: dict[Takes, Kind] = {
        "model": "model",
        "method": "method",
        "weights": "method",
    }
    return MetricRow(
        name or function.__name__,
        summary,
        function,
        takes,
        kind or usual.get(takes, "maps"),
        better,
        annotated=annotated,
        **traits,
    )


def _magnitude(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function without its sign: the smaller, the better."""

    @functools.wraps(function)
    def magnitude(*args: Any, **kwargs: Any) -> Any:
        return jnp.abs(function(*args, **kwargs))

    return magnitude


def _samples(settings: Mapping[str, Any]) -> int:
    return settings["num_samples"] + 1


def _twice(settings: Mapping[str, Any]) -> int:
    return 2


def _revealed(settings: Mapping[str, Any]) -> int:
    return len(settings["fractions"]) + 2


def _median_area(curves: Float[np.ndarray, "n s"]) -> float:
    """Area under the median curve, whose points are evenly spaced."""
    median = np.median(curves, axis=0)
    return float((median[1:] + median[:-1]).mean() / 2)


_STEPS = {"num_steps": 16}
# As CAMs are made; a signed map, moved, would hide next to nothing.
_POSITIVE = {"sign": "positive"}
_EIGHT = {"num_samples": 8}
_THRESHOLDS = tuple(k / 20 for k in range(20))

_ROWS = [
    _row(metrics.deletion, "model", "lower", quick=_STEPS),
    _row(metrics.insertion, "model", "higher", quick=_STEPS),
    _row(
        metrics.region_perturbation,
        "model",
        "lower",
        name="morf",
        summary="Score while the most relevant regions are replaced first.",
        quick={"order": "morf", "num_regions": 16, "region_size": 28},
        paper={"order": "morf"},
    ),
    _row(
        metrics.region_perturbation,
        "model",
        "higher",
        name="lerf",
        summary="Score while the least relevant regions are replaced first.",
        quick={"order": "lerf", "num_regions": 16, "region_size": 28},
        paper={"order": "lerf"},
    ),
    _row(metrics.road, "model", "higher"),
    _row(metrics.average_drop, "model", "lower", quick=_POSITIVE, paper=_POSITIVE),
    _row(metrics.average_increase, "model", "higher", quick=_POSITIVE, paper=_POSITIVE),
    _row(metrics.average_gain, "model", "higher", quick=_POSITIVE, paper=_POSITIVE),
    _row(
        metrics.mu_fidelity, "model", "higher", shared=True, quick={"num_samples": 128}
    ),
    _row(
        metrics.faithfulness_correlation,
        "model",
        "higher",
        shared=True,
        quick={"num_samples": 64},
    ),
    _row(
        metrics.sensitivity_n,
        "model",
        "higher",
        shared=True,
        quick={"num_samples": 16, "sizes": (64, 512, 4096, 16384)},
    ),
    _row(
        metrics.infidelity,
        "model",
        "lower",
        shared=True,
        quick={"num_samples": 128, "normalize": True},
        paper={"normalize": True},
    ),
    _row(
        _magnitude(metrics.completeness_gap),
        "model",
        "lower",
        summary="By how much the sum of a map misses the score's change from black.",
    ),
    _row(
        metrics.sic,
        "model",
        "higher",
        kind="host",
        evaluations=_revealed,
        over_data=_median_area,
    ),
    _row(
        metrics.aic,
        "model",
        "higher",
        kind="host",
        evaluations=_revealed,
        over_data=_median_area,
    ),
    _row(metrics.pointing_game, "masks", "higher"),
    _row(metrics.energy_pointing_game, "masks", "higher"),
    _row(metrics.top_k_intersection, "masks", "higher"),
    _row(
        metrics.relevance_mass,
        "masks",
        "higher",
        quick={"sign": "absolute"},
        paper={"sign": "absolute"},
    ),
    _row(metrics.relevance_rank, "masks", "higher"),
    _row(
        metrics.iou,
        "masks",
        "higher",
        quick={"threshold": 0.5},
        paper={"threshold": 0.5},
    ),
    _row(metrics.average_precision, "masks", "higher"),
    _row(
        metrics.box_overlaps,
        "boxes",
        "higher",
        kind="host",
        name="max_box_accuracy",
        summary="Share of images whose object a box around the map finds.",
        over_data=metrics.max_box_accuracy,
        quick={"thresholds": _THRESHOLDS},
    ),
    _row(metrics.gini, "maps", "higher"),
    _row(metrics.entropy, "maps", "lower"),
    _row(metrics.effective_size, "maps", "lower"),
    _row(metrics.adcc, "method", "higher", evaluations=_twice),
    _row(
        metrics.max_sensitivity, "method", "lower", quick=_EIGHT, evaluations=_samples
    ),
    _row(
        metrics.average_sensitivity,
        "method",
        "lower",
        quick=_EIGHT,
        evaluations=_samples,
    ),
    _row(
        metrics.local_lipschitz, "method", "lower", quick=_EIGHT, evaluations=_samples
    ),
    _row(
        metrics.input_invariance,
        "method",
        "lower",
        quick={"shift": 0.5},
        paper={"shift": 0.5},
        evaluations=_twice,
    ),
    _row(metrics.random_logit, "method", "lower", evaluations=_twice),
    _row(
        metrics.parameter_randomization,
        "weights",
        "lower",
        quick={"num_stages": 8},
    ),
    _row(
        metrics.parameter_randomization,
        "weights",
        "lower",
        name="independent_randomization",
        summary="Similarity of the map to that of the model with one layer at random.",
        quick={"num_stages": 8, "order": "independent"},
        paper={"order": "independent"},
    ),
]

METRICS: dict[str, MetricRow] = {row.name: row for row in _ROWS}
