"""Settings of now against those that were written."""

from collections.abc import Mapping
from typing import Any


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], path: str = ""
) -> list[str]:
    """Where two settings differ, one line each.

    Example:
      >>> differences({"a": {"b": 1}}, {"a": {"b": 2}, "c": 3})
      ['a.b: 1 there, 2 here', 'c: nothing there, 3 here']
    """
    lines = []
    for name in [*old, *(key for key in new if key not in old)]:
        there, here = old.get(name), new.get(name)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            lines += differences(there, here, f"{path}{name}.")
        elif there != here:
            texts = ["nothing" if v is None else repr(v) for v in (there, here)]
            lines.append(f"{path}{name}: {texts[0]} there, {texts[1]} here")
    return lines
