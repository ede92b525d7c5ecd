"""One compiled program per method, for any weights, images and labels."""

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from xattr._model import refuse_nnx

F = TypeVar("F", bound=Callable[..., Any])


def compiled(method: F) -> F:
    """A method that checks what it was given, and compiles once per kind of it.

    Arrays (parameters, images, targets, baselines) are data; everything else (names of
    sites, hyperparameters, scores, plain functions) is part of the program, and
    compares by value, `functools.partial` included.
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        _check(method.__name__.lstrip("_"), bound.arguments)
        _tidy(bound.arguments)
        _check_mesh(method.__name__.lstrip("_"))
        leaves, treedef = jax.tree.flatten((bound.args, bound.kwargs))
        data = [leaf for leaf in leaves if _is_data(leaf)]
        static = tuple(_DATA if _is_data(leaf) else Static(leaf) for leaf in leaves)
        return _run(method, treedef, static, data)

    return call  # type: ignore[return-value]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _run(method: Any, treedef: Any, static: tuple[Any, ...], data: list[Any]) -> Any:
    rest = iter(data)
    leaves = [next(rest) if s is _DATA else s.value for s in static]
    args, kwargs = jax.tree.unflatten(treedef, leaves)
    return method(*args, **kwargs)


_DATA = None


def _is_data(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape")


def _tidy(arguments: dict[str, Any]) -> None:
    """Make NumPy's scalars plain, and refuse what is neither data nor comparable."""
    for name, value in arguments.items():
        if name == "options":
            _tidy(value)
        elif isinstance(value, np.generic):
            arguments[name] = value.item()
        for leaf in jax.tree.leaves(value):
            if not _is_data(leaf):
                try:
                    hash(Static(leaf))
                except TypeError:
                    raise TypeError(
                        f"`{name}` holds a {type(leaf).__name__} that is neither an "
                        f"array nor comparable by its contents. Arrays that a model or "
                        f"a score needs belong into data: "
                        f"`xattr.from_function(apply, params)`, or `targets`."
                    ) from None


class Static:
    """A value that is part of the program; partial functions compare by their parts."""

    def __init__(self, value: Any):
        self.value = value
        self.parts = _parts(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


def _parts(value: Any) -> Any:
    if isinstance(value, functools.partial):
        keywords = tuple(sorted((k, _parts(v)) for k, v in value.keywords.items()))
        return (
            functools.partial,
            _parts(value.func),
            tuple(map(_parts, value.args)),
            keywords,
        )
    # 1 == 1.0 == True, but they are not the same program.
    return type(value), value


def _check(name: str, arguments: dict[str, Any]) -> None:
    """Refuse what no method can take, before anything is traced."""
    model, images = arguments["model"], arguments["images"]
    if not callable(model):
        raise TypeError(
            f"`model` is a {type(model).__name__}; {name} needs a function from a "
            f"batch of images to outputs, such as `xattr.from_function(apply, params)`."
        )
    refuse_nnx(model)
    if _hides_its_state(model):
        raise TypeError(
            f"`model` is a {type(model).__name__}, an object that JAX can't look "
            f"into: after a change of its weights, the old ones would be explained. "
            f"Make them data: `xattr.from_function(apply, params)`; for Keras, "
            f"`apply = lambda p, x: model.stateless_call(*p, x)[0]`."
        )
    if not _is_data(images):
        raise TypeError(
            f"`images` is a {type(images).__name__}; it must be an array `n h w c` (or "
            f"`n ...` features). For one image use `images[None]`."
        )
    if images.ndim < 2 or not jnp.issubdtype(images.dtype, jnp.inexact):
        raise ValueError(
            f"`images` is {images.dtype}{list(images.shape)}; it must be floating "
            f"point with a leading batch axis, `n h w c`, in the units that the model "
            f"takes. For bytes use `images.astype('float32') / 255`."
        )
    if images.shape[0] == 0:
        raise ValueError("`images` holds no image; its first axis must be at least 1.")
    if "targets" in arguments:
        arguments["targets"] = _target_data(arguments["targets"], images.shape[0])


def _check_mesh(name: str) -> None:
    """Refuse types that say what varies over devices.

    A derivative with respect to what does not is then a sum over devices, be it zeros
    that are added to an activation, and nothing fails.
    """
    axes = jax.sharding.get_abstract_mesh().manual_axes
    if not axes:
        return
    varying = jax.typeof(jax.lax.axis_index(axes[0]))
    if varying != jax.typeof(jnp.zeros(varying.shape, varying.dtype)):
        raise ValueError(
            f"Inside `jax.shard_map`, {name} needs `check_vma=False`: otherwise JAX "
            f"adds derivatives up over the devices of {axes}, and maps would be wrong."
        )


def _hides_its_state(model: Any) -> bool:
    """Whether a callable is neither data, nor a function, nor equal by its contents."""
    kind = type(model)
    leaves = jax.tree.leaves(model)
    is_leaf = len(leaves) == 1 and leaves[0] is model
    is_function = isinstance(model, _FUNCTIONS) or hasattr(model, "__wrapped__")
    return is_leaf and not is_function and kind.__hash__ is object.__hash__


_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    functools.partial,
    np.ufunc,
    jnp.ufunc,
)


def _target_data(targets: Any, n: int) -> Any:
    """Targets as arrays, so that labels are never part of the program."""
    if isinstance(targets, (list, range)):
        targets = np.asarray(targets)
    for leaf in jax.tree.leaves(targets):
        if np.shape(leaf)[:1] != (n,):
            raise ValueError(
                f"`targets` has a part of shape {np.shape(leaf)} for {n} images; every "
                f"part needs one row per image. For one class for all use "
                f"`jnp.full({n}, index)`, for the predicted classes `targets=None`."
            )
    return targets
