"""From a file to a function of images."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jaxtyping import Array, Inexact, Int

from xattr.export._file import read


@dataclass(frozen=True)
class Explainer:
    """A method and a model read from a file.

    Attributes:
      about: the description that the file has.
      call: the program, a function of arrays just as `about` has them.
    """

    about: dict[str, Any]
    call: Callable[..., tuple[Array, Array]]

    def __call__(
        self, images: Any, targets: Any = None
    ) -> tuple[Inexact[Array, "n ..."], Int[Array, " n"]]:
        """Maps of images, and the classes that they explain.

        Raises:
          ValueError: if the images, or the targets, are not what the file takes.
        """
        given = [images] if targets is None else [images, targets]
        wanted = self.about["inputs"]
        if len(given) != len(wanted):
            raise ValueError(
                f"`targets` {'are missing' if targets is None else 'are given'}, but "
                f"the file was saved with `targets={self.about['targets']!r}`."
            )
        arrays = [jnp.asarray(array) for array in given]
        for array, of in zip(arrays, wanted, strict=True):
            _check_array(array, of, arrays[0].shape[:1])
        return self.call(*arrays)


def load_explainer(path: str | os.PathLike) -> Explainer:
    """Read an explainer that `save_explainer` wrote.

    Args:
      path: the file. Its program runs with JAX: read only files that you trust.

    Returns:
      A function of images (and targets, where they are given) to maps and classes.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is no such file.
    """
    parts = read(path)
    program = export.deserialize(bytearray(parts.program))
    return Explainer(parts.facts, jax.jit(program.call))


def _check_array(array: Array, wanted: dict[str, Any], n: tuple[int, ...]) -> None:
    """Refuse another shape or type; an unknown number of images is that of the call."""
    shape = tuple(n[0] if n and size == "n" else size for size in wanted["shape"])
    if array.shape != shape or array.dtype.name != wanted["dtype"]:
        raise ValueError(
            f"`{wanted['name']}` is {array.dtype}{list(array.shape)}; the file takes "
            f"{wanted['dtype']}{wanted['shape']}: {wanted['meaning']}."
        )
