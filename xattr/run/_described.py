"""Settings as JSON has them: the same for the same setting, in any process."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from xattr.combinators._bound import Bound

# Given to every method at the call, or without effect on its result.
_NOT_SETTINGS = ("key", "site")


def described(value: Any, name: str = "value") -> Any:
    """A setting as JSON has it.

    Arrays are told by their digest, pytrees by their arrays and their structure,
    functions by their names, methods with all their hyperparameters, defaults included.

    Args:
      value: the setting.
      name: what an error calls it.

    Raises:
      TypeError: for an object that has no text of its own from one process to the next.

    Example:
      >>> described({"window": (32, 32), "stride": None})
      {'window': [32, 32], 'stride': None}
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {
            str(key): described(item, f"{name}.{key}") for key, item in value.items()
        }
    if isinstance(value, (tuple, list)):
        return [described(item, name) for item in value]
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return {"array": digest([value])}
    if isinstance(value, (partial, Bound)) or callable(value):
        return method_settings(value, name=name)
    leaves, structure = jax.tree.flatten(value)
    # An address in memory is another one in the next process.
    if not jax.tree_util.treedef_is_leaf(structure) and " at 0x" not in str(structure):
        return {"arrays": digest(leaves), "structure": str(structure)}
    raise TypeError(
        f"`{name}` is a {type(value).__name__}, which a resumed run could not compare; "
        f"give numbers, texts, arrays or functions of a module."
    )


def method_settings(
    method: Callable[..., Any],
    given: Mapping[str, Any] | None = None,
    *,
    name: str = "method",
) -> dict[str, Any]:
    """A function's name and its hyperparameters: given, bound, or by default."""
    bound: dict[str, Any] = {}
    while isinstance(method, (partial, Bound)):
        if isinstance(method, partial):
            bound, method = {**method.keywords, **bound}, method.func
        else:
            bound, method = {**method.options, **bound}, method.function
    options = {**_defaults(method), **bound, **(given or {})}
    settings = {key: options[key] for key in options if key not in _NOT_SETTINGS}
    return {"function": _address(method, name), **described(settings, name)}


def digest(arrays: list[Any]) -> str:
    """A name for arrays: the same for the same numbers in the same shapes."""
    found = hashlib.sha256()
    for array in map(np.asarray, arrays):
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _defaults(method: Callable[..., Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {
        p.name: p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.default is not p.empty
    }


def _address(method: Callable[..., Any], name: str) -> str:
    """Module and name; of a function without a name of its own, its code as well."""
    method = inspect.unwrap(method)
    if not hasattr(method, "__qualname__"):
        raise TypeError(
            f"`{name}` is a {type(method).__name__}, which a resumed run could not "
            f"compare; give a function of a module."
        )
    address = f"{method.__module__}.{method.__qualname__}"
    code = getattr(method, "__code__", None)
    if "<" not in address or code is None:
        return address
    return f"{address} {hashlib.sha256(code.co_code).hexdigest()[:16]}"
