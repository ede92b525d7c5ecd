"""Files in, predictions and raw maps out, a batch at a time."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from xattr._types import Method
from xattr.data import Problem, read_batches

if TYPE_CHECKING:
    from xattr.models import Pretrained

Note = Callable[[str], object]


@dataclass(frozen=True)
class Plan:
    """What to compute for every file.

    Attributes:
      pretrained: the network and what goes with it.
      methods: rows of the methods' table, by name.
      target: class index, or None for each photograph's predicted class.
      site: where methods that read a site read.
      batch_size: photographs computed together.
      seed: of the key that methods draw with; each file's key is folded with its
        place in the list of files, so that batches do not matter.
      precision: of matrix products, as `jax.default_matmul_precision` takes it.
    """

    pretrained: "Pretrained"
    methods: Mapping[str, Any]
    target: int | None
    site: str
    batch_size: int
    seed: int = 0
    precision: str | None = None


class Explained(NamedTuple):
    """A batch of photographs with what the model and the methods say of them."""

    paths: tuple[Path, ...]
    images: np.ndarray
    probabilities: np.ndarray
    targets: np.ndarray
    maps: dict[str, np.ndarray]
    problems: tuple[Problem, ...]


def check_sites(plan: Plan) -> None:
    """Trace every method that reads a site, computing nothing.

    The shapes are those of the run, so that its traces are found in the cache.

    Raises:
      TypeError: as the methods.
      ValueError: as the methods; such as if there is no such site, or one of them
        cannot work on it.
    """
    side = plan.pretrained.preprocess.size
    images = jax.ShapeDtypeStruct((plan.batch_size, side, side, 3), jnp.float32)
    targets = jax.ShapeDtypeStruct((plan.batch_size,), jnp.int32)
    with jax.default_matmul_precision(plan.precision):
        for row in plan.methods.values():
            if row.site:
                jax.eval_shape(
                    partial(_call, row.method, plan),
                    *(plan.pretrained.model, images, targets),
                )


def _call(method: Method, plan: Plan, model: Any, images: Any, targets: Any) -> Any:
    """A method that reads a site, with a run's keys."""
    keys = _keys(jax.random.key(plan.seed), jnp.arange(plan.batch_size))
    return method(model, images, targets, key=keys, site=plan.site)


def explain_files(
    plan: Plan, paths: Sequence[Path], *, note: Note
) -> Generator[Explained, None, None]:
    """Explain files in order; each comes once, as an image or as a problem.

    Problems come with the next batch of images, so that a wrong call shows before
    anything is written. Every batch has the same size inside, the ragged ones padded
    by repetition, so that one compiled program per method serves all.
    """
    places = {path: place for place, path in enumerate(paths)}
    stream = read_batches(
        paths, batch_size=plan.batch_size, transform=plan.pretrained.preprocess
    )
    try:
        problems: list[Problem] = []
        for batch in stream:
            problems += batch.problems
            if not batch.images:
                continue
            images = np.stack(batch.images)
            order = np.array([places[path] for path in batch.paths])
            with jax.default_matmul_precision(plan.precision):
                results = _explain(plan, images, order, note)
            yield Explained(batch.paths, images, *results, tuple(problems))
            problems.clear()
        if problems:
            yield Explained((), *_nothing(), {}, tuple(problems))
    finally:
        stream.close()


def _explain(
    plan: Plan, images: np.ndarray, places: np.ndarray, note: Note
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Probabilities, targets and maps of at most `batch_size` images."""
    count = len(images)
    fill = np.arange(plan.batch_size).clip(max=count - 1)
    padded = jnp.asarray(images[fill])
    model = plan.pretrained.model
    probabilities = _probabilities(model, padded)
    if plan.target is None:
        targets = probabilities.argmax(-1)
    else:
        targets = jnp.full(plan.batch_size, plan.target)
    keys = _keys(jax.random.key(plan.seed), jnp.asarray(places[fill]))
    maps = {}
    for name, row in plan.methods.items():
        note(name)
        options = {"site": plan.site} if row.site else {}
        options |= row.arguments(images[fill])
        result = row.method(model, padded, targets, key=keys, **options)
        maps[name] = np.asarray(result)[:count]
    return np.asarray(probabilities)[:count], np.asarray(targets)[:count], maps


@jax.jit
def _probabilities(model: Any, images: jax.Array) -> jax.Array:
    """Softmax of the model's outputs; the model is data."""
    return jax.nn.softmax(model(images))


_keys = jax.jit(jax.vmap(jax.random.fold_in, (None, 0)))


def _nothing() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, probabilities and targets of no photograph."""
    return np.zeros((0, 1, 1, 3)), np.zeros((0, 1)), np.zeros(0, int)
