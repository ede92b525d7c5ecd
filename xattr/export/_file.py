"""The file of an explainer: a zip of plain parts, none of them compressed.

- `explainer.json`: what goes in and comes out, and how the maps are made;
- `explainer.jax_export`: the program with its weights, for `jax.export.deserialize`;
- `explainer.stablehlo`: the same program as portable StableHLO bytecode, for others.
"""

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

FORMAT = "xattr explainer 1"
_FACTS, _PROGRAM, _STABLEHLO = (
    f"explainer.{end}" for end in ("json", "jax_export", "stablehlo")
)
_DATE = (1980, 1, 1, 0, 0, 0)


class Parts(NamedTuple):
    """What the file holds."""

    facts: dict[str, Any]
    program: bytes
    stablehlo: bytes


def write(path: Path, parts: Parts) -> None:
    """The same bytes for the same parts; the file is there whole, or not at all."""
    contents = {
        _FACTS: json.dumps(parts.facts, indent=1).encode(),
        _PROGRAM: parts.program,
        _STABLEHLO: parts.stablehlo,
    }
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            for name, content in contents.items():
                archive.writestr(zipfile.ZipInfo(name, _DATE), content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike) -> Parts:
    """The parts of a file.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is no explainer.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read(_FACTS))
            if facts["format"] != FORMAT:
                raise ValueError(f"its format is {facts['format']!r}, not {FORMAT!r}")
            return Parts(facts, archive.read(_PROGRAM), archive.read(_STABLEHLO))
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"`path`={os.fspath(path)!r} is not an explainer ({error}). Write one with "
            f"`xattr.save_explainer(path, method, model, image_shape=(224, 224, 3))`."
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
