"""What a comparison costs: evaluations by counting, seconds by its first tile."""

import inspect
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np

from xattr.compare._comparison import Comparison
from xattr.compare._execute import READING
from xattr.compare._scoring import Scoring
from xattr.metrics import randomized_layers
from xattr.program import operations, original
from xattr.run import Place
from xattr.run._compiler import compiler_options

_TIMES = "times.json"


class Clock:
    """Seconds of work and, apart from them, of tracing and compiling.

    Attributes:
      compiling: seconds of tracing and compiling since it was made.
    """

    def __init__(self) -> None:
        self.compiling = 0.0
        self._spans: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **about: str | int) -> None:
        if not event.startswith("/jax/core/compile/"):
            return
        end = time.monotonic()
        start = end - duration_secs
        # What is traced inside of another's tracing is told before it, and counts once.
        while self._spans and self._spans[-1][0] >= start:
            inner = self._spans.pop()
            self.compiling -= inner[1] - inner[0]
        self._spans.append((start, end))
        self.compiling += duration_secs

    @contextmanager
    def measure(self, times: dict[str, float], name: str) -> Iterator[None]:
        """Add the seconds of a block, less those of compiling, under a name."""
        began, compiled = time.monotonic(), self.compiling
        yield
        spent = time.monotonic() - began - (self.compiling - compiled)
        times[name] = times.get(name, 0.0) + max(spent, 0.0)


@dataclass
class Times:
    """Seconds that a tile takes, without compiling, by method and by metric.

    Attributes:
      methods: to compute and keep a method's maps.
      metrics: to compute a metric of all methods' maps.
      first_tile: seconds of the last call until it foretold the rest.
      foretold: what it foretold.
      rest: what the rest took; 0 until it is done.
    """

    methods: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    first_tile: float = 0.0
    foretold: float = 0.0
    rest: float = 0.0

    def save(self, place: Place) -> None:
        """Keep them for a later call."""
        place.write(_TIMES, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, place: Place) -> "Times":
        """Those of an earlier call; empty if there are none that can be read."""
        try:
            found = json.loads(place.read(_TIMES) or b"{}")
            return cls(dict(found["methods"]), dict(found["metrics"]))
        except (KeyError, TypeError, ValueError):
            return cls()


def predict_seconds(
    comparison: Comparison,
    times: Times,
    *,
    methods: Mapping[str, int],
    metrics: Mapping[str, Collection[int]],
) -> float:
    """Seconds for what is left of a comparison, by what its first tile took.

    Args:
      comparison: what is compared.
      times: of a tile.
      methods: how many tiles are left of each method's run.
      metrics: which tiles are left of each metric.
    """
    seconds = sum(times.methods.get(name, 0) * left for name, left in methods.items())
    for name, tiles in metrics.items():
        left = sum(comparison.measures(name, tile) for tile in tiles)
        seconds += times.metrics.get(name, 0) * left
    reading = set[int]().union(*metrics.values())
    return seconds + times.metrics.get(READING, 0) * len(reading)


def measure_pace(scoring: Scoring) -> float:
    """Seconds of the network's own evaluation per photograph, in tiles."""
    plan = scoring.comparison.plan
    side, count = plan.preprocess.size, plan.tile_size
    scene = scoring.scene(
        np.full((count, side, side, 3), 128, np.uint8),
        np.arange(count),
        np.zeros(count, np.int32),
        np.full((count, 1, 4), np.nan, np.float32),
        np.zeros((count, side, side), bool),
    )
    options = compiler_options(scoring.device.platform)
    evaluate = jax.jit(lambda model, x: model(x), compiler_options=options)
    seconds = []
    for _ in range(4):
        began = time.monotonic()
        jax.block_until_ready(evaluate(scene.model, scene.images))
        seconds.append(time.monotonic() - began)
    return min(seconds) / count


class Passes:
    """Evaluations of the network per photograph, counted on the traced programs.

    A pass is as many multiply-adds as the network's own: a gradient with respect to the
    image is about two, an occlusion that computes again only what changes is less than
    its positions. Loops that end by themselves count once.

    Args:
      scoring: the programs.
    """

    def __init__(self, scoring: Scoring) -> None:
        self._scoring, self._comparison = scoring, scoring.comparison
        self.budget = self._comparison.budget.name
        plan = self._comparison.plan
        side = plan.preprocess.size
        ones = np.ones(1, np.int32)
        scene = scoring.scene(
            np.zeros((1, side, side, 3), np.uint8),
            0 * ones,
            0 * ones,
            np.full((1, 1, 4), np.nan, np.float32),
            np.zeros((1, side, side), bool),
        )
        # Rewritten operations compute another number of products.
        self._scene = scene._replace(model=original(scene.model))
        self._maps = jax.numpy.zeros((1, 1, side, side))

    @cached_property
    def _own(self) -> int:
        scene = self._scene
        return max(operations(lambda: scene.model(scene.images)), 1)

    def of_method(self, method: str) -> float:
        """Of one map."""
        s = self._scene
        explained = self._scoring.explained(method)
        return self._count(explained.program(s.model, s.images, s.targets, s.keys))

    def of_metric(self, metric: str) -> float:
        """Of one method's map; of all methods' if they share them."""
        row = self._comparison.metrics[metric]
        if row.kind == "maps":
            return 0.0
        settings = _all_settings(row.function, self._comparison.settings(metric))
        if row.takes == "weights":
            chosen = {name: settings[name] for name in ("order", "num_stages")}
            scene = self._scene
            return 1.0 + len(randomized_layers(scene.model, scene.images, **chosen))
        if row.kind in ("host", "method"):
            return float(row.evaluations(settings))
        return self._count(self._scoring.program(metric, self._scene, self._maps))

    def _count(self, function: Callable[[], object]) -> float:
        return operations(function, unknown_steps=1) / self._own


def count_passes(
    comparison: Comparison, scoring: Scoring
) -> dict[str, dict[str, float]]:
    """Passes per photograph: of each method's map, and of each metric of one map.

    Of a metric that explains again, the number of explanations of each method.

    Raises:
      ValueError: as the methods and metrics, of which it names the latter.
    """
    passes = Passes(scoring)
    return {
        "methods": {name: passes.of_method(name) for name in comparison.methods},
        "metrics": {name: _fitting(passes, name) for name in comparison.metrics},
    }


def _fitting(passes: Passes, metric: str) -> float:
    """A metric's passes; says which it is whose hyperparameters do not fit."""
    try:
        return passes.of_metric(metric)
    except ValueError as error:
        raise ValueError(
            f"The metric {metric} does not fit this network under the budget "
            f"{passes.budget}, leave it out: {error}"
        ) from error


def _all_settings(
    function: Callable[..., Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Hyperparameters, defaults included."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters} | dict(given)
