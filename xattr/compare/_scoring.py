"""The metrics of one tile of records, for all methods."""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from xattr.compare._comparison import Comparison
from xattr.compare._explained import Explained
from xattr.compare._metrics import MetricRow, Scene
from xattr.run._compiler import chunk_bytes, compiler_options, compiling

# What keys are folded with for metrics; methods fold them with numbers of samples.
_APART = 2**32 - 2

Stack = Float[Array, "k n h w"]


class Scores(NamedTuple):
    """A metric's values of a tile.

    Attributes:
      values: of each method and record; NaN where there is none.
      curves: what they are made of, if they are curves, stages or thresholds.
    """

    values: Float[np.ndarray, "k n"]
    curves: Float[np.ndarray, "k n s"] | None


class Scoring:
    """The programs of a comparison's metrics, each compiled once for all methods.

    Args:
      comparison: what is compared.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.device = jax.devices()[0]
        plan = comparison.plan
        self._model = jax.device_put(plan.pretrained.model, self.device)
        self._memory = plan.chunk_memory or chunk_bytes(self.device)
        self._program = cache(self._make)
        self.explained = cache(lambda method: Explained(plan, method))

    def scene(
        self,
        pixels: Any,
        index: Int[np.ndarray, " n"],
        targets: Int[np.ndarray, " n"],
        boxes: Float[np.ndarray, "n m 4"],
        masks: Bool[np.ndarray, "n h w"],
    ) -> Scene:
        """What metrics are given beside the maps."""
        seed = jax.random.key(self.comparison.plan.seed)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(seed, jnp.asarray(index))
        images = jnp.asarray(pixels, jnp.float32) / 255
        draws = jax.vmap(jax.random.fold_in, (0, None))(keys, _APART)
        return Scene(
            self._model,
            images,
            jnp.asarray(targets),
            keys,
            draws,
            seed,
            jnp.asarray(boxes),
            jnp.asarray(masks),
        )

    def score(self, metric: str, scene: Scene, maps: Stack) -> Scores:
        """A metric of every method's maps."""
        with compiling(self.comparison.plan.precision, self._memory):
            return self._score(metric, scene, maps)

    def program(self, metric: str, scene: Scene, maps: Stack) -> Any:
        """What one method's maps go through, as a function of nothing, for counting."""
        row, settings = self._row(metric)
        return lambda: row.measured(row.measure(scene, maps[0], **settings))

    def _score(self, metric: str, scene: Scene, maps: Stack) -> Scores:
        row, settings = self._row(metric)
        methods = self.comparison.methods
        if row.shared:
            found = [self._program(metric)(scene, maps)]
        elif row.kind == "method":
            found = [
                row.measured(row.measure(scene, self.explained(name), **settings))
                for name in methods
            ]
        elif row.kind == "host":
            found = [
                row.measured(row.measure(scene, each, **settings)) for each in maps
            ]
        else:
            found = [self._program(metric)(scene, each) for each in maps]
        whole = jax.device_get(found)
        stack = (lambda parts: parts[0]) if row.shared else np.stack
        values = np.array(stack([value for value, _ in whole]), np.float32)
        curves = None
        if whole[0][1] is not None:
            curves = np.array(stack([curve for _, curve in whole]), np.float32)
        sound = np.asarray(jnp.isfinite(maps).all((2, 3)))
        # What is computed over a data set reads curves, not values.
        for numbers in (values, curves):
            if numbers is not None:
                numbers[~sound] = np.nan
        return Scores(values, curves)

    def _make(self, metric: str) -> Any:
        """The program of a metric."""
        row, settings = self._row(metric)

        def of_maps(scene: Scene, maps: Float[Array, "n h w"]) -> Any:
            return row.measured(row.measure(scene, maps, **settings))

        # The evaluations are the same for all methods' maps, and are done once.
        program = jax.vmap(of_maps, (None, 0)) if row.shared else of_maps
        return jax.jit(program, compiler_options=compiler_options(self.device.platform))

    def _row(self, metric: str) -> tuple[MetricRow, dict[str, Any]]:
        comparison = self.comparison
        return comparison.metrics[metric], comparison.settings(metric)
