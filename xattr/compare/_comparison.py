"""What is compared: methods, metrics, and all that decides their values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from xattr.compare._annotations import Annotations
from xattr.compare._budget import Budget
from xattr.compare._metrics import MetricRow
from xattr.data import Source
from xattr.run import Place, Plan
from xattr.run._compiler import compiler
from xattr.run._described import method_settings
from xattr.run._layout import SHARD


@dataclass(frozen=True)
class Comparison:
    """Methods × metrics over a data set.

    Attributes:
      plan: the methods with their hyperparameters, the network, targets and seed.
      metrics: rows of the metrics' table, by name.
      budget: how much may be computed.
      annotations: where the objects are.
    """

    plan: Plan
    metrics: Mapping[str, MetricRow]
    budget: Budget
    annotations: Annotations = field(default_factory=Annotations)

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(self.plan.methods)

    def plan_of(self, method: str) -> Plan:
        """One method's run."""
        named = {method: self.plan.options[method]} if self._has(method) else {}
        return replace(
            self.plan, methods={method: self.plan.methods[method]}, options=named
        )

    def settings(self, metric: str) -> dict[str, Any]:
        """A metric's hyperparameters under the budget."""
        return dict(getattr(self.metrics[metric], self.budget.name))

    def measures(self, metric: str, tile: int) -> bool:
        """Whether a metric is computed of a tile under the budget."""
        row, again = self.metrics.get(metric), self.budget.num_reexplained
        if row is None or row.kind != "method" or again is None:
            return True
        return tile * self.plan.tile_size < again

    @cached_property
    def common(self) -> dict[str, Any]:
        """What decides the values of every metric, apart from the records."""
        return self.plan.identity()

    def identity(self, metric: str, source: Source, device: Any) -> dict[str, Any]:
        """What decides every byte of a metric's scores; of no metric's, by its name."""
        return {
            **self.common,
            "metric": {"name": metric} | self._described(metric),
            "records": {"count": len(source), "fingerprint": source.fingerprint()},
            "shard_size": SHARD,
            "compiler": compiler(
                device, chunk_memory=self.plan.chunk_memory, num_perturbation=1
            ),
        }

    def _described(self, metric: str) -> dict[str, Any]:
        if metric not in self.metrics:
            return {}
        row = self.metrics[metric]
        again = self.budget.num_reexplained if row.kind == "method" else None
        return {
            "settings": method_settings(row.function, self.settings(metric)),
            "num_records": again,
            "annotations": self.annotations.identity() if row.annotated else None,
        }

    def _has(self, method: str) -> bool:
        return method in self.plan.options


def maps_place(place: Place, method: str) -> Place:
    """Where a method's maps are."""
    return Place(f"{place.address}/maps/{method}")


def scores_place(place: Place, metric: str) -> Place:
    """Where a metric's scores are."""
    return Place(f"{place.address}/scores/{metric}")
