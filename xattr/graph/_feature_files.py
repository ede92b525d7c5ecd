"""The features of a site as a file."""

import os
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from xattr.graph._graph import Features


def save_features(path: str | os.PathLike[str], features: Features) -> None:
    """Write the features of a site, one byte for each unit of each image.

    The file is there whole, or not at all: after a kill, sites that have a file need
    not be read from the model again.

    Args:
      path: of the file, `.npz`; what is there is replaced. Its folder must exist.
      features: of a site.
    """
    path = Path(path)
    temporary = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, levels=features.levels, step=features.step)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_features(path: str | os.PathLike[str]) -> Features:
    """The features that `save_features` wrote.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it holds no features.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as parts:
            levels, step = parts["levels"], parts["step"]
    except (EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise _no_features(path, error) from error
    if levels.ndim != 4 or step.shape != levels.shape[3:]:
        shapes = f"levels of shape {levels.shape}, steps of {step.shape}"
        raise _no_features(path, shapes)
    return Features(jnp.asarray(levels), jnp.asarray(step))


def _no_features(path: str | os.PathLike[str], why: object) -> ValueError:
    return ValueError(
        f"`path`={os.fspath(path)!r} holds no features ({why}). Write them with "
        f"`save_features(path, features)`."
    )
