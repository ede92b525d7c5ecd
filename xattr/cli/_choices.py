"""From what was typed to methods and classes, or an error with the nearest names."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")

# What the library's errors advise, and what does that here.
_COMMANDS = {
    r"`xattr\.sites\([^`]*\)`": r"`python -m xattr sites --model {model}`",
    r"`xattr\.models\.names\(\)`": r"`python -m xattr models`",
    r"`load\([^`]*weights=\"([^`\"]+)\"\)`": r"`--weights \1`",
    r"`xattr\.(\w+)\(model, images[^`]*\)`": r"`--method \1`",
    r"`(site|tau|weights)`(?:=| )": r"`--\1` ",
    r"`num_parents`=": r"`--parents` ",
    r"`name`=": r"`--model` ",
}


def choose_methods(
    names: Sequence[str],
    table: Mapping[str, T],
    *,
    option: str = "--method",
    kind: str = "method",
) -> dict[str, T]:
    """Rows of a table, in the order asked for, each once.

    Args:
      names: names in any case, `-` for `_`, or several of them with commas between.
      table: every row by name.
      option: how they are asked for.
      kind: what they are; the command of its plural lists them.

    Raises:
      ValueError: for an unknown name, with the nearest, or if there is none.

    Example:
      >>> choose_methods(["b,a", "b"], {"a": 1, "b": 2})
      {'b': 2, 'a': 1}
    """
    typed = [name.strip() for text in names for name in text.split(",")]
    wanted = {name.casefold().replace("-", "_"): name for name in typed if name}
    chosen = {name: table[name] for name in wanted if name in table}
    for name, text in wanted.items():
        if name not in table:
            known = nearest(name, table) or f"There are: {', '.join(table)}. "
            raise ValueError(
                f"`{option}` {_short(text)} is not a {kind}. {known}List all with "
                f"`python -m xattr {kind}s`."
            )
    if not chosen:
        raise ValueError(
            f"`{option}` names no {kind}. Example: `{option} "
            f"{','.join(list(table)[:2])}`."
        )
    return chosen


def choose_target(text: str, classes: Sequence[str]) -> int | None:
    """The class to explain: its index, or None for the predicted one.

    Args:
      text: `predicted`, an index, or a class name in any case. A name may be one of
        the synonyms between commas, or the beginning of one, if no other class
        begins so.
      classes: names in the order of the model's outputs.

    Raises:
      ValueError: if there is no such class, or several.

    Example:
      >>> classes = ["tench, Tinca tinca", "Egyptian cat", "tiger cat"]
      >>> [choose_target(text, classes) for text in ("2", "TENCH", "egypt")]
      [2, 0, 1]
    """
    wanted = text.strip().casefold()
    if wanted == "predicted":
        return None
    if re.fullmatch(r"[+-]?\d{1,18}", wanted):
        return _index(int(wanted), len(classes))
    synonyms = [_synonyms(name) for name in classes]
    exact = [k for k, names in enumerate(synonyms) if wanted in names]
    found = exact or [
        k
        for k, names in enumerate(synonyms)
        if wanted and any(name.startswith(wanted) for name in names)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        listed = "; ".join(f"{k}: {classes[k]}" for k in found[:8])
        raise ValueError(
            f"`--target` {_short(text)} fits {len(found)} classes ({listed}). Give "
            f"one's index: `--target {found[0]}`."
        )
    names = [name for part in synonyms for name in part]
    raise ValueError(
        f"`--target` {_short(text)} is not a class of this model. "
        f"{nearest(wanted, names)}Give `predicted`, a name or an index, 0 to "
        f"{len(classes) - 1}: `--target 0`."
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """A sentence with the few names that look like `name`, or nothing.

    Example:
      >>> nearest("grad_cma", ["gradient", "grad_cam", "occlusion"])
      'Nearest: grad_cam, gradient. '
      >>> nearest("zzz", ["gradient", "grad_cam", "occlusion"])
      ''
    """
    close = difflib.get_close_matches(name, dict.fromkeys(names), n=3, cutoff=0.5)
    return f"Nearest: {', '.join(close)}. " if close else ""


def for_command_line(error: Exception, model: str) -> str:
    """The text of a library's error, with options in place of Python calls.

    Example:
      >>> error = ValueError("`site`='x' is none. See `xattr.sites(model, images)`.")
      >>> for_command_line(error, "vgg16")
      "`--site` 'x' is none. See `python -m xattr sites --model vgg16`."
    """
    text = str(error)
    for call, command in _COMMANDS.items():
        text = re.sub(call, command, text)
    return text.replace("{model}", model)


def _short(text: str) -> str:
    """What was typed, quoted, its end left out if it is long."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _index(index: int, count: int) -> int:
    """An index that there is."""
    if not 0 <= index < count:
        raise ValueError(
            f"`--target` {index} is no class of this model: give 0 to {count - 1}."
        )
    return index


def _synonyms(name: str) -> list[str]:
    """A class's whole name and its parts between commas, caseless."""
    parts = [name, *name.split(",")]
    return [part.strip().casefold() for part in parts if part.strip()]
