"""From what was typed to methods and classes, or an error with the nearest names."""

import difflib
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def choose_methods(names: Sequence[str], table: Mapping[str, T]) -> dict[str, T]:
    """Rows of the methods' table, in the order asked for, each once.

    Args:
      names: names, or several of them with commas between.
      table: every method by name.

    Raises:
      ValueError: for an unknown name, with the nearest, or if there is none.

    Example:
      >>> choose_methods(["b,a", "b"], {"a": 1, "b": 2})
      {'b': 2, 'a': 1}
    """
    wanted = [name.strip() for text in names for name in text.split(",")]
    chosen = {name: table[name] for name in wanted if name in table}
    unknown = [name for name in wanted if name and name not in table]
    if unknown:
        raise ValueError(
            f"`--method` {unknown[0]!r} is not a method. Nearest: "
            f"{nearest(unknown[0], table)}. List all with `python -m xattr methods`."
        )
    if not chosen:
        raise ValueError(
            "`--method` names no method. Example: `--method gradient,grad_cam`."
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
    if wanted.lstrip("+-").isdecimal():
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
            f"`--target` {text!r} fits {len(found)} classes ({listed}). Give one's "
            f"index: `--target {found[0]}`."
        )
    names = [name for part in synonyms for name in part]
    raise ValueError(
        f"`--target` {text!r} is not a class of this model. Nearest: "
        f"{nearest(wanted, names)}. Give `predicted`, an index or a name."
    )


def nearest(name: str, names: Sequence[str] | Mapping[str, object]) -> str:
    """The few names that look most like `name`, or the first ones."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.4)
    return ", ".join(close or list(names)[:6])


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
