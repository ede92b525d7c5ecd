"""A candidate in a process of its own, that runs when it is told to.

Candidates that take turns share neither threads nor memory: the peak of each is its
own, and each process loads its own side's libraries alone.
"""

import contextlib
import importlib
import multiprocessing
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

# Seconds until a process that is told to end is ended.
_PATIENCE = 5


class Settings(NamedTuple):
    """What all candidates of a run share.

    Attributes:
      data: folder of weights and photographs.
      dtype: of parameters and images, `float32` or `bfloat16`.
      tf32: whether float32 products may be rounded so, on both sides.
      torch_compile: whether the peer's network goes through `torch.compile`.
      quick: whether this only shows that everything runs.
    """

    data: Path
    dtype: str = "float32"
    tf32: bool = False
    torch_compile: bool = False
    quick: bool = False


class Memory(Protocol):
    """Where a side's memory is: the host's or a device's."""

    def used(self) -> int:
        """Bytes now."""

    def reset(self) -> None:
        """Forget the peak."""

    def peak(self) -> int:
        """Most bytes since."""


class Prepared(NamedTuple):
    """A candidate, loaded and compiled.

    Attributes:
      run: does the work, to its end.
      maps: from what `run` returned to arrays that can be compared, any of which may
        be equal to the peer's.
      memory: where to look for the peak.
      loaded: bytes in use when the network was loaded.
      classes: what is explained.
      forward: the network alone, on the same images.
      facts: what else belongs in the row.
      tune: the same with the settings that run fastest here, by trying them.
    """

    run: Callable[[], Any]
    maps: Callable[[Any], list[np.ndarray]]
    memory: Memory
    loaded: int
    classes: list[int]
    forward: Callable[[], Any] | None = None
    facts: Mapping[str, Any] = {}
    tune: "Callable[[], Prepared] | None" = None


class Build(NamedTuple):
    """How to prepare a candidate: a function, by name, and its options.

    The function takes `Settings`, the name of a network and the number of images.
    """

    module: str
    function: str
    options: Mapping[str, Any] = {}

    def __call__(self, settings: Settings, network: str, batch: int) -> Prepared:
        """Prepare it, in the process that this is called in."""
        function = getattr(importlib.import_module(self.module), self.function)
        return function(settings, network, batch, **self.options)


class Worker:
    """The parent's end of a candidate's process."""

    def __init__(self, build: Build, settings: Settings, network: str, batch: int):
        spawn = multiprocessing.get_context("spawn")
        self._pipe, end = spawn.Pipe()
        arguments = (end, build, settings, network, batch)
        self._process = spawn.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        end.close()

    def ask(self, what: str) -> Any:
        """Have it do one thing: prepare, tune, warm, run, forward, peak or maps."""
        self.send(what)
        return self.answer()

    def send(self, what: str) -> None:
        """Have it begin; `answer` waits for the end."""
        self._pipe.send(what)

    def answer(self) -> Any:
        """Return what came of what was sent."""
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError("the process ended, for want of memory maybe") from None
        if isinstance(answer, _Failure):
            raise RuntimeError(answer.text)
        return answer

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)
            self._process.join(_PATIENCE)
        self._process.terminate()
        self._process.join()


class _Failure(NamedTuple):
    text: str


def _serve(pipe: Connection, build: Build, *case: Any) -> None:
    prepared: Any = None
    result: Any = None
    while (what := pipe.recv()) is not None:
        try:
            answer: Any = None
            if what == "prepare":
                prepared = build(*case)
            elif what == "tune":
                prepared = prepared.tune() if prepared.tune else prepared
                prepared.memory.reset()
                answer = {"classes": prepared.classes, **prepared.facts}
            elif what == "warm":
                prepared.run()
            elif what == "run":
                result = None
                start = time.perf_counter()
                result = prepared.run()
                answer = time.perf_counter() - start
            elif what == "forward":
                start = time.perf_counter()
                prepared.forward()
                answer = time.perf_counter() - start
            elif what == "peak":
                answer = prepared.memory.peak() - prepared.loaded
            elif what == "maps":
                answer = prepared.maps(result)
        except Exception:
            answer = _Failure(traceback.format_exc(limit=-3))
        pipe.send(answer)
