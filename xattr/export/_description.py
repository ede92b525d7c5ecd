"""What an explainer's file says of itself."""

import functools
import inspect
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from xattr._version import __version__
from xattr.combinators._bound import Bound

INPUTS = (
    ("images", "RGB, `n h w c`"),
    ("targets", "index of the class to explain, one per image"),
)
OUTPUTS = (
    ("maps", "neither resized nor normalized; the method says what they mean"),
    ("targets", "index of the class that was explained, one per image"),
)


def described(
    names: Sequence[tuple[str, str]], types: Sequence[Any], images: str = ""
) -> list[dict[str, Any]]:
    """Inputs or outputs in their order; `"n"` is any number."""
    found = []
    for (name, meaning), of in zip(names, types, strict=False):
        shape = [size if isinstance(size, int) else "n" for size in of.shape]
        facts = {"name": name, "shape": shape, "dtype": of.dtype.name}
        if name == "images" and images:
            facts["range"] = [0, 255] if images == "uint8" else "what the model takes"
        found.append(facts | {"meaning": meaning})
    return found


def method_name(method: Any) -> str:
    """Name of the method itself, without what is bound to it."""
    if isinstance(method, functools.partial):
        return method_name(method.func)
    if isinstance(method, Bound):
        return method_name(method.function)
    return getattr(method, "__name__", type(method).__name__).lstrip("_")


def hyperparameters(method: Any) -> dict[str, Any]:
    """Every hyperparameter, bound or by default, as JSON can hold it."""
    if isinstance(method, functools.partial) and isinstance(method.func, Bound):
        found = hyperparameters(method.func) | method.keywords
    elif isinstance(method, Bound):
        found = method.options
    else:
        found = {
            name: parameter.default
            for name, parameter in inspect.signature(method).parameters.items()
            if name not in _DATA and parameter.kind not in _REST
        }
    return {name: _plain(value) for name, value in found.items()}


_DATA = ("model", "images", "targets", "key")
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}"
    return method_name(value)


def versions() -> dict[str, str]:
    """Of this library and of what compiled the program."""
    packages = {name: version(name) for name in ("jax", "jaxlib")}
    return {"xattr-jax": __version__} | packages
