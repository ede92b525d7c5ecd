"""How long a model and the methods on it take, and what memory."""

import contextlib
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xattr._model import from_function

FORWARD = "forward pass"
_MIB = 2**20


@dataclass(frozen=True)
class Program:
    """Something compiled, and what is known of it before it runs.

    Attributes:
      name: the method's.
      run: computes it, to the end.
      compile_seconds: what tracing and compiling took.
      memory: bytes of its intermediate results and outputs, by the compiler; None
        where it does not say.
      chunk: evaluations at a time and in all, where the method divides them.
    """

    name: str
    run: Callable[[], Any]
    compile_seconds: float
    memory: int | None
    chunk: str


def programs(
    model: Any, images: np.ndarray, methods: Mapping[str, Any], site: str | None
) -> Iterator[Program]:
    """The forward pass, then each method, compiled for these images.

    Yields:
      Programs, each as soon as it is compiled.
    """
    batch, model = jnp.asarray(images), _as_data(model)
    yield _compiled(FORWARD, lambda model, x: model(x), model, batch)
    classes = jax.jit(lambda model, x: model(x).argmax(-1))(model, batch)
    keys = jax.random.split(jax.random.key(0), len(images))
    for name, row in methods.items():
        options = {"site": site} if row.site else {}
        data = row.arguments(images)
        yield _compiled(name, _explain(row, options), model, batch, classes, keys, data)


def measure(found: list[Program], rounds: int, batch: int) -> list[dict[str, Any]]:
    """One row per program: medians of seconds, and of ratios to the first.

    All take their turn in each round, every other round backwards.
    """
    for program in found:
        program.run()
    seconds: dict[str, list[float]] = {program.name: [] for program in found}
    for turn in range(rounds):
        for program in found[:: 1 if turn % 2 == 0 else -1]:
            start = time.perf_counter()
            program.run()
            seconds[program.name].append(time.perf_counter() - start)
    return [_row(program, seconds, batch) for program in found]


def peak_memory() -> tuple[int, str]:
    """Bytes at most so far, and of what: the device, or this process."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"], "device"
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024), "process"


def _as_data(model: Any) -> Any:
    """The model as an argument of a program; a plain function has no parameters."""
    leaves = jax.tree.leaves(model)
    if len(leaves) != 1 or leaves[0] is not model:
        return model
    return from_function(lambda _, images: model(images), ())


def _explain(row: Any, options: Mapping[str, Any]) -> Callable[..., Any]:
    def explain(model, images, classes, keys, data):
        return row.method(model, images, classes, key=keys, **options, **data)

    return explain


def _compiled(name: str, function: Callable[..., Any], *arguments: Any) -> Program:
    start = time.perf_counter()
    with _chunks() as chunks:
        executable = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    sizes = executable.memory_analysis()
    memory = sizes and sizes.temp_size_in_bytes + sizes.output_size_in_bytes
    return Program(
        name,
        lambda: jax.block_until_ready(executable(*arguments)),
        seconds,
        memory,
        "; ".join(dict.fromkeys(chunks)),
    )


def _row(
    program: Program, seconds: Mapping[str, list[float]], batch: int
) -> dict[str, Any]:
    taken, forward = seconds[program.name], next(iter(seconds.values()))
    median = statistics.median(taken)
    return {
        "what": program.name,
        "ms per image": 1000 * median / batch,
        "images per second": batch / median,
        "forward passes": statistics.median(
            a / b for a, b in zip(taken, forward, strict=True)
        ),
        "memory, MiB": None if program.memory is None else program.memory / _MIB,
        "chunk": program.chunk,
        "compiled in, s": program.compile_seconds,
        "seconds": taken,
    }


@contextlib.contextmanager
def _chunks() -> Iterator[list[str]]:
    """What the library says of its chunks meanwhile."""
    said: list[str] = []
    log = logging.getLogger("xattr")
    level, handler = log.level, logging.Handler()

    def keep(record: logging.LogRecord) -> None:
        if str(record.msg).startswith("chunks of") and isinstance(record.args, tuple):
            said.append(f"{record.args[0]} of {record.args[1]}")

    handler.emit = keep  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield said
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
