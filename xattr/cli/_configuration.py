"""What a TOML file and `--set` say of a run."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from xattr.cli._choices import nearest
from xattr.cli._console import fail

_TABLE = "options"

Hyperparameters = dict[str, dict[str, Any]]


def configure(context: typer.Context, file: Path | None) -> Path | None:
    """Take what a file says as the defaults of this call's options."""
    if file is None:
        return None
    given = _read(file)
    context.meta[_TABLE] = given.pop(_TABLE, {})
    known = {p.name for p in context.command.params if p.name} - {"config"}
    for name in given:
        if name not in known:
            fail(
                f"`--config` {file} has {name!r}, which is no option. "
                f"{nearest(name, known)}`python -m xattr run --help` lists them."
            )
    context.default_map = given
    return file


def configured(context: typer.Context) -> Mapping[str, Mapping[str, Any]]:
    """The file's hyperparameters by method; none without a file."""
    return context.meta.get(_TABLE, {})


def hyperparameters(
    table: Mapping[str, Mapping[str, Any]], settings: Sequence[str]
) -> Hyperparameters:
    """Hyperparameters by method, those of the command line last.

    Args:
      table: the file's.
      settings: the command line's, each `method.name=value`, the value as in TOML or
        else a text.

    Raises:
      ValueError: for one that is not written so.

    Example:
      >>> table = {"rise": {"num_masks": 10}}
      >>> hyperparameters(table, ["rise.num_masks=20", "rise.grid=5"])
      {'rise': {'num_masks': 20, 'grid': 5}}
    """
    options = {name: dict(values) for name, values in table.items()}
    for text in settings:
        path, equals, value = text.partition("=")
        method, dot, name = path.partition(".")
        if not (equals and dot and method and name):
            raise ValueError(
                f"`--set` {text!r} is no hyperparameter: give one such as "
                "`--set rise.num_masks=1000`."
            )
        options.setdefault(method, {})[name] = _parsed(value)
    return options


def _read(file: Path) -> dict[str, Any]:
    """What the file says, by parameter."""
    try:
        settings = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        fail(f"`--config` {file} cannot be read ({error.strerror}).")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(f"`--config` {file} is no TOML file ({error}).")
    return {name.replace("-", "_"): value for name, value in settings.items()}


def _parsed(value: str) -> Any:
    """A value of TOML, or the text itself."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
