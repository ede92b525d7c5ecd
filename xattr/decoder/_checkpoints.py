"""Checkpoints of a training, written by Orbax while it goes on."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from xattr._differences import differences

T = TypeVar("T")

METRIC, ARRAYS, ABOUT = "metric", "arrays", "about"


class Checkpoints:
    """The last few states of a training and the best one, on disk.

    A state is there whole or not at all, whenever the process is killed. Writing goes
    on beside the training.

    Args:
      folder: where they are; made if it is not there.
      about: what the training is of, as JSON: the architecture, the settings.
      keep: how many of the last states are kept, beside the best.

    Raises:
      ValueError: if the folder holds the states of another training; says what differs.
    """

    def __init__(
        self, folder: str | os.PathLike[str], about: Mapping[str, Any], *, keep: int = 3
    ) -> None:
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import (
            AnyPreservationPolicy,
            BestN,
            LatestN,
        )

        if keep < 1:
            raise ValueError(f"`keep`={keep} must be at least 1: `keep=3`.")
        self._about = json.loads(json.dumps(about))
        measured: dict[str, Any] = {"best_fn": _metric, "best_mode": "min"}
        best = BestN(get_metric_fn=_metric, reverse=True, n=1)
        self._manager = ocp.CheckpointManager(
            Path(folder).absolute(),
            # Named, so that what is there can be asked for before it is restored.
            item_handlers={
                ARRAYS: ocp.StandardCheckpointHandler(),
                ABOUT: ocp.JsonCheckpointHandler(),
            },
            options=ocp.CheckpointManagerOptions(
                preservation_policy=AnyPreservationPolicy([LatestN(keep), best]),
                enable_async_checkpointing=True,
                # What a killed process was writing.
                cleanup_tmp_directories=True,
                **measured,
            ),
        )
        try:
            self._refuse_another()
        except BaseException:
            self._manager.close()
            raise

    def __enter__(self) -> "Checkpoints":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is being written."""
        self._manager.close()

    @property
    def steps(self) -> list[int]:
        """After how many steps the states are that are kept."""
        return sorted(self._manager.all_steps())

    @property
    def latest(self) -> int | None:
        """The last of them; None if there is none."""
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """The one of the smallest metric; None if none was measured."""
        self._manager.wait_until_finished()
        step = self._manager.best_step()
        if step is None:
            return None
        metrics = self._manager.metrics(step) or {METRIC: math.inf}
        return step if math.isfinite(metrics[METRIC]) else None

    def save(self, step: int, state: Any, *, metric: float = math.inf) -> None:
        """Write the state after so many steps, unless it is there.

        Args:
          step: how many.
          state: a pytree of arrays. It is copied before this returns: its buffers may
            be given away.
          metric: decides which state is the best: the smallest.
        """
        import orbax.checkpoint as ocp

        if step in self._manager.all_steps():
            return
        arrays = {name: np.array(_data(x)) for name, x in _named(state).items()}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave(arrays),
                about=ocp.args.JsonSave(self._about),
            ),
            metrics={METRIC: metric if math.isfinite(metric) else math.inf},
            force=True,
        )

    def restore(self, like: T, step: int | None = None) -> T:
        """A state that was written.

        Args:
          like: a pytree of arrays, or of their shapes and types.
          step: after how many steps; the last by default.

        Raises:
          FileNotFoundError: if there is none.
          ValueError: if its arrays are others than those of `like`.
        """
        import orbax.checkpoint as ocp

        self._manager.wait_until_finished()
        step = self.latest if step is None else step
        if step is None or step not in self._manager.all_steps():
            raise FileNotFoundError(
                f"{self._manager.directory} holds no state after step {step}; it has "
                f"{self.steps}."
            )
        leaves = _named(like)
        wanted = {name: jax.eval_shape(_data, x) for name, x in leaves.items()}
        _refuse_other_arrays(self._manager.item_metadata(step)[ARRAYS], wanted)
        empty = {name: np.empty(x.shape, x.dtype) for name, x in wanted.items()}
        found = self._manager.restore(
            step, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(empty))
        )[ARRAYS]
        return jax.tree.unflatten(
            jax.tree.structure(like),
            [_as(found[name], leaf) for name, leaf in leaves.items()],
        )

    def _refuse_another(self) -> None:
        """Raise if the states are another training's."""
        import orbax.checkpoint as ocp

        if self.latest is None:
            return
        there = self._manager.restore(
            self.latest, args=ocp.args.Composite(about=ocp.args.JsonRestore())
        )["about"]
        lines = differences(there, self._about)
        if lines:
            raise ValueError(
                f"{self._manager.directory} holds the states of another training; "
                f"{'; '.join(lines)}. Go on with the same, or give another folder."
            )


def _metric(metrics: Mapping[str, float]) -> float:
    return float(metrics[METRIC])


def _named(tree: Any) -> dict[str, Any]:
    """The arrays of a pytree by their paths, in their order."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    """The numbers of an array; of a key, those that it is made of."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _as(found: np.ndarray, leaf: Any) -> Any:
    """Numbers as what they were."""
    if not _is_key(leaf):
        return found
    return jax.random.wrap_key_data(jnp.asarray(found), impl=jax.random.key_impl(leaf))


def _refuse_other_arrays(there: Any, wanted: Mapping[str, Any]) -> None:
    """Raise unless a state has the arrays that are wanted."""
    old = {name: f"{x.dtype}{tuple(x.shape)}" for name, x in dict(there).items()}
    new = {name: f"{x.dtype}{tuple(x.shape)}" for name, x in wanted.items()}
    lines = differences(old, new)
    if lines:
        more = f"; and {len(lines) - 3} more" if len(lines) > 3 else ""
        raise ValueError(
            f"The checkpoint is of another architecture: {'; '.join(lines[:3])}{more}. "
            "Give the architecture that it was trained with."
        )
