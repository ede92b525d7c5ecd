"""A model as data and code: parameters that may change, a function that may not."""

import contextlib
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jaxtyping import PyTree

from xattr._types import Images


@jax.tree_util.register_pytree_node_class
class Model:
    """A function from a batch of images to outputs, with its parameters as data.

    A pytree: under `jit` its arrays are arguments, so that new weights of the same
    shapes compile nothing again. What is no array (functions and strings inside the
    parameters, and `apply` itself) is static and compares by value, so pass the same
    `apply` each time: a fresh lambda at every call is a new program at every call.
    What `apply` reads from outside its arguments is a constant, as under `jit`.

    Args:
      apply: function of the parameters and a batch of images.
      params: any pytree.

    Example:
      >>> import jax.numpy as jnp
      >>> model = Model(lambda w, x: x @ w, jnp.array([[2.0], [3.0]]))
      >>> model(jnp.array([[1.0, 1.0]]))
      Array([[5.]], dtype=float32)
    """

    def __init__(self, apply: Callable[[Any, Images], PyTree], params: PyTree):
        if not callable(apply):
            raise TypeError(
                f"`apply` is a {type(apply).__name__}; it must be a function of "
                f"parameters and images: `Model(apply, params)`."
            )
        self.apply = apply
        self.params = params

    def __call__(self, images: Images) -> PyTree:
        """Outputs for a batch of images."""
        return self.apply(self.params, images)

    def __repr__(self) -> str:
        arrays = len(jax.tree.leaves(self))
        name = getattr(self.apply, "__name__", type(self.apply).__name__)
        return f"Model({name}, <{arrays} arrays>)"

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        """Arrays, and what is static."""
        leaves, treedef = jax.tree.flatten(self.params)
        static = tuple(leaf if _is_static(leaf) else _DATA for leaf in leaves)
        children = tuple(leaf for leaf in leaves if not _is_static(leaf))
        return children, (self.apply, treedef, static)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: tuple[Any, ...]) -> "Model":
        """Inverse of `tree_flatten`."""
        apply, treedef, static = aux
        data = iter(children)
        leaves = [next(data) if leaf is _DATA else leaf for leaf in static]
        model = object.__new__(cls)
        model.apply = apply
        model.params = jax.tree.unflatten(treedef, leaves)
        return model


_DATA = "<array>"


def _is_static(leaf: Any) -> bool:
    return isinstance(leaf, (str, bool)) or (
        callable(leaf) and not hasattr(leaf, "dtype")
    )


def refuse_nnx(model: Any) -> None:
    """An NNX module as it is may be in training mode, and JAX can't tell."""
    kinds = inspect.getmro(type(model))
    if any(kind.__module__.startswith("flax.nnx") for kind in kinds):
        raise TypeError(
            "`model` is an NNX module, whose batch statistics and dropout may be in "
            "training mode. Give `xattr.from_nnx(model)` instead."
        )


def from_function(apply: Callable[[Any, Images], PyTree], params: PyTree) -> Model:
    """A model from a function of parameters and images.

    Serves plain JAX, Equinox (`from_function(lambda m, x: jax.vmap(m)(x), module)`) and
    Keras (`from_function(lambda p, x: keras_model.stateless_call(*p, x)[0], p)`).

    Args:
      apply: function of the parameters and a batch of images, kept and passed again
        for each new set of weights.
      params: any pytree.
    """
    return Model(apply, params)


def from_linen(module: Any, variables: PyTree, **call: Any) -> Model:
    """A model from a Flax Linen module and its variables.

    Args:
      module: the module. Its paths (`Block_0/Conv_1`) select sites.
      variables: what `module.init` returned: `{"params": ..., "batch_stats": ...}`.
      **call: keyword arguments of its `__call__`, for example `train=False`.
    """
    if not (hasattr(module, "apply") and hasattr(module, "init")):
        raise TypeError(
            f"`module` is a {type(module).__name__}, no Linen module. For NNX use "
            f"`from_nnx(module)`, for anything else `from_function(apply, params)`."
        )
    return Model(_Linen(module, tuple(sorted(call.items()))), variables)


class _Linen(NamedTuple):
    module: Any
    call: tuple[tuple[str, Any], ...]

    def __call__(self, variables: PyTree, images: Images) -> PyTree:
        return self.module.apply(variables, images, **dict(self.call))


def from_nnx(module: Any) -> Model:
    """A model from a Flax NNX module, in evaluation mode.

    The module is left as it is: the model works on a copy, with batch statistics
    frozen and dropout off, whose submodules' paths (`features/0/conv`) select sites.

    Args:
      module: the module; it must be callable on a batch of images alone.
    """
    from flax import nnx

    if not isinstance(module, nnx.Module):
        raise TypeError(
            f"`module` is a {type(module).__name__}, no NNX module. For Linen use "
            f"`from_linen(module, variables)`, for anything else "
            f"`from_function(apply, params)`."
        )
    evaluated = nnx.view(
        module,
        raise_if_not_found=False,
        deterministic=True,
        use_running_average=True,
    )
    graph, state = nnx.split(evaluated)
    return Model(_NNX(graph), state)


class _NNX(NamedTuple):
    graph: Any

    def __call__(self, state: PyTree, images: Images) -> PyTree:
        from flax import nnx

        module = nnx.merge(self.graph, state)
        for path, part in nnx.iter_modules(module):
            if path:
                object.__setattr__(part, _PATH, tuple(str(step) for step in path))
                part.__class__ = _named(type(part))
        return module(images)


_PATH = "_xattr_path"
_entered: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar(
    "entered", default=()
)


@functools.cache
def _named(cls: type) -> type:
    """The same class, its call naming the module in the program."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _enter(getattr(self, _PATH)):
            return cls.__call__(self, *args, **kwargs)

    return type(cls.__name__, (cls,), {"__call__": call})


@contextlib.contextmanager
def _enter(path: tuple[str, ...]) -> Iterator[None]:
    """Name what is traced inside, relative to the module that is being called."""
    outer = _entered.get()
    inside = path[: len(outer)] == outer
    token = _entered.set(path)
    try:
        with jax.named_scope("/".join(path[len(outer) :] if inside else path)):
            yield
    finally:
        _entered.reset(token)
