"""Training a decoder from the first step to the last, whatever comes between."""

import functools
import itertools
import math
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from xattr._model import Model
from xattr.decoder._architecture import Architecture
from xattr.decoder._checkpoints import Checkpoints
from xattr.decoder._classifier import Trainable, check_classifier
from xattr.decoder._collapse import collapsed
from xattr.decoder._logs import Logs, import_tensorboard
from xattr.decoder._settings import Settings
from xattr.decoder._state import Batch, State
from xattr.decoder._step import Report, init, step, trained
from xattr.decoder._trained import Trained

CHECKPOINTS = "checkpoints"


class Batches(Protocol):
    """Batches by number: a list of them, or a grain `MapDataset`."""

    def __getitem__(self, number: int, /) -> Any:
        """The batch of that number, from 0; always the same."""
        ...


class Diverged(FloatingPointError):
    """A training whose loss or gradients are not finite any more.

    Attributes:
      step: number of the step that was not taken, from 1.
      state: the last good state, that before this step.
      trained: the decoder of that state.
    """

    def __init__(self, message: str, step: int, state: State, trained: Trained) -> None:
        super().__init__(message)
        self.step, self.state, self.trained = step, state, trained


def fit(
    classifier: Model | Trainable,
    batches: Batches,
    *,
    architecture: Architecture,
    settings: Settings,
    folder: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 100,
    keep: int = 3,
    log_every: int = 10,
    tensorboard: bool = False,
    watch: Callable[[int, Report], object] | None = None,
    evaluate: Callable[[Trained], float] | None = None,
    mesh: Mesh | None = None,
    num_threads: int = 2,
) -> tuple[Trained, State]:
    """Train a decoder; with a folder, go on where an earlier call was ended.

    The step $k$ depends on the state before it, the batch $k - 1$ and the settings
    alone: on a CPU, a training that was killed any number of times ends with the same
    parameters, to the bit, as one that was not.

    Args:
      classifier: what is explained: a model, left as it is; or one that is trained
        along.
      batches: the batch of each step, by its number from 0: a list, or a grain
        `MapDataset`, of which a few batches are read ahead.
      architecture: of the decoder.
      settings: of the training.
      folder: for `checkpoints`, `losses.csv` and events; None keeps nothing.
      checkpoint_every: steps from one checkpoint to the next.
      keep: how many of the last checkpoints are kept, beside the best.
      log_every: steps from one row of `losses.csv` to the next.
      tensorboard: whether events are written there for TensorBoard; needs
        tensorboardX.
      watch: called after each step with its number, from 1, and its report. It may
        raise, `KeyboardInterrupt` for instance: the state is kept first.
      evaluate: from a decoder to a number, smaller is better, which decides the best
        checkpoint; by default the mean loss since the last one, once the weight of the
        area has come to its full size and the discriminator, if any, takes part.
      mesh: devices that share each batch, all axes together; one device by default.
      num_threads: threads that read batches ahead.

    Returns:
      The decoder, its parameters averaged as the settings say, and the last state.

    Raises:
      Diverged: if a loss or a gradient is not finite. The last good state is kept in
        the folder, and in the error.
      ImportError: if `tensorboard` is asked for and tensorboardX is not installed.
      TypeError: if the classifier is neither of the above.
      ValueError: if the folder holds the training of another architecture, of other
        settings or of another classifier, there are too few batches, a batch is of
        another size than the settings' or lacks labels that are learnt, or devices
        can't share it.

    Notes:
      Warns, once for each kind, where the masks keep everything or nothing.
    """
    _check(classifier, batches, settings, checkpoint_every, log_every, mesh)
    if tensorboard and folder is not None:
        import_tensorboard()
    replicated, divided = _shardings(mesh)
    program = _program(architecture, settings, replicated)
    # A copy: the program takes the buffers of the state it is given, and parts of the
    # first one may be the classifier's own.
    state = init(classifier, architecture, settings)
    state = jax.tree.map(lambda x: x.copy(), state)
    with ExitStack() as stack:
        checkpoints = logs = None
        start = 0
        if folder is not None:
            checkpoints = stack.enter_context(
                Checkpoints(
                    Path(folder) / CHECKPOINTS,
                    _about(classifier, architecture, settings),
                    keep=keep,
                )
            )
            if checkpoints.latest is not None:
                start = checkpoints.latest
                state = checkpoints.restore(state)
            logs = stack.enter_context(
                Logs(folder, step=start, tensorboard=tensorboard)
            )
        classifier = jax.device_put(classifier, replicated)
        state = jax.device_put(state, replicated)
        losses: list[float] = []
        warned: set[str] = set()
        ramped = settings.ramp * settings.num_steps
        begun = settings.adversarial_start * settings.num_steps
        # Losses from before are of another objective, and not to be compared.
        settled = max(ramped, begun) if settings.adversarial else ramped

        def save(number: int, metric: float = math.inf) -> None:
            if checkpoints is not None:
                checkpoints.save(number, state, metric=metric)

        stream = stack.enter_context(_stream(batches, start, num_threads))
        for number in range(start + 1, settings.num_steps + 1):
            with _first(functools.partial(save, number - 1)):
                batch = _checked(next(stream), settings)
            batch = jax.device_put(batch, divided)
            state, found = program(classifier, state, batch)
            report = jax.device_get(found)
            if not report["finite"]:
                save(number - 1)
                raise _diverged(
                    number,
                    report,
                    state,
                    trained(state, architecture, settings),
                    folder,
                )
            if number > settled:
                losses.append(float(report["total"]))
            if number % log_every == 0 or number == settings.num_steps:
                if logs is not None:
                    logs.write(number, report)
                if number > ramped:
                    _warn(number, collapsed(report), warned)
            if number % checkpoint_every == 0 or number == settings.num_steps:
                if checkpoints is not None:
                    save(
                        number, _metric(evaluate, state, architecture, settings, losses)
                    )
                losses.clear()
            if watch is not None:
                with _first(functools.partial(save, number)):
                    watch(number, report)
    return trained(state, architecture, settings), state


@functools.lru_cache(maxsize=8)
def _program(
    architecture: Architecture, settings: Settings, replicated: NamedSharding | None
) -> Callable[..., tuple[State, Report]]:
    """The compiled step, kept for the next call."""
    one = functools.partial(step, architecture=architecture, settings=settings)
    if replicated is None:
        return jax.jit(one, donate_argnums=1)
    return jax.jit(one, donate_argnums=1, out_shardings=replicated)


def _shardings(
    mesh: Mesh | None,
) -> tuple[NamedSharding | None, NamedSharding | None]:
    """Of what every device has, and of what they share."""
    if mesh is None:
        return None, None
    # Whatever the types of its axes, the compiler divides the step.
    types = (AxisType.Auto,) * len(mesh.axis_names)
    mesh = Mesh(mesh.devices, mesh.axis_names, axis_types=types)
    return (
        NamedSharding(mesh, PartitionSpec()),
        NamedSharding(mesh, PartitionSpec(mesh.axis_names)),
    )


@contextmanager
def _stream(batches: Batches, start: int, num_threads: int) -> Iterator[Iterator[Any]]:
    """Batches from one number on; a grain data set's are read ahead."""
    import grain

    if not isinstance(batches, grain.MapDataset):
        yield (batches[number] for number in itertools.count(start))
        return
    options = grain.ReadOptions(
        num_threads=num_threads, prefetch_buffer_size=2 * num_threads
    )
    iterator: Any = iter(batches[start:].to_iter_dataset(options))
    try:
        yield iterator
    finally:
        iterator.close()


@contextmanager
def _first(save: Callable[[], None]) -> Iterator[None]:
    """Keep the state before an error goes on."""
    try:
        yield
    except BaseException:
        save()
        raise


def _metric(
    evaluate: Callable[[Trained], float] | None,
    state: State,
    architecture: Architecture,
    settings: Settings,
    losses: list[float],
) -> float:
    """What decides the best checkpoint."""
    if evaluate is not None:
        return float(evaluate(trained(state, architecture, settings)))
    return float(np.mean(losses)) if losses else math.inf


def _warn(number: int, text: str, warned: set[str]) -> None:
    """Warn of a collapse, once for each kind."""
    kind = text.partition(" ")[0]
    if text and kind not in warned:
        warned.add(kind)
        warnings.warn(f"After step {number}: {text}", stacklevel=3)


def _diverged(
    number: int, report: Report, state: State, found: Trained, folder: Any
) -> Diverged:
    """The error that says what happened, and where the last good state is."""
    bad = [name for name, value in report.items() if not np.isfinite(value)]
    kept = (
        "The state before it is in the error"
        if folder is None
        else f"The state before it is kept in {folder}, after step {number - 1}"
    )
    return Diverged(
        f"Step {number} was not taken: {', '.join(bad)} not finite. {kept}. Look at "
        "that batch for images that are not finite and labels that are no classes; "
        "else train anew, in another folder, with a smaller `learning_rate`.",
        number,
        state,
        found,
    )


def _about(
    classifier: Model | Trainable, architecture: Architecture, settings: Settings
) -> Mapping[str, Any]:
    """What a training is of."""
    digest = 0
    for leaf in jax.tree.leaves(classifier):
        is_key = jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)
        numbers = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        digest = zlib.crc32(numbers.tobytes(), digest)
    return {
        "architecture": asdict(architecture),
        "settings": asdict(settings) | {"weights": dict(settings.weights)},
        "classifier": f"{digest:08x}",
    }


def _checked(batch: Any, settings: Settings) -> Batch:
    """A batch of the size that the settings say, labelled if it has to be."""
    images, labels = batch
    if settings.mode != "frozen" and np.min(labels) < 0:
        raise ValueError(
            f"`batches` holds an image without a label ({np.min(labels)}), which "
            f"`mode`={settings.mode!r} learns from. Label all of them, or explain the "
            "classifier as it is: `mode='frozen'`."
        )
    if len(images) != settings.batch_size:
        raise ValueError(
            f"`batches` holds a batch of {len(images)} images, the settings say "
            f"{settings.batch_size}: `Settings(batch_size={len(images)})`."
        )
    return Batch(images, labels)


def _check(
    classifier: Any,
    batches: Batches,
    settings: Settings,
    checkpoint_every: int,
    log_every: int,
    mesh: Mesh | None,
) -> None:
    """Raise for what can't be trained."""
    check_classifier(classifier)
    if isinstance(batches, Sized) and len(batches) < settings.num_steps:
        raise ValueError(
            f"`batches` holds {len(batches)}, fewer than `num_steps`="
            f"{settings.num_steps}. Give one for each step; a grain data set begins "
            "anew after `.repeat()`."
        )
    counts = {"checkpoint_every": checkpoint_every, "log_every": log_every}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"`{name}`={count} must be at least 1: `{name}=10`.")
    if mesh is not None and settings.batch_size % mesh.size:
        raise ValueError(
            f"`mesh` has {mesh.size} devices, which can't share "
            f"batches of {settings.batch_size}: "
            f"`batch_size={-(-settings.batch_size // mesh.size) * mesh.size}`."
        )
