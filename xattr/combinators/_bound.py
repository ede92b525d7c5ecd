"""Methods with hyperparameters bound, as values: equal parts, equal programs."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from xattr._compile import Static
from xattr._types import Images, Method, Predictor


def bound(method: Method) -> Method:
    """The same method, comparing by value and holding its arrays as data."""
    if isinstance(method, functools.partial):
        if method.args:
            raise TypeError(
                f"`method` is a partial with positional arguments {method.args!r}; "
                f"bind hyperparameters by name: `functools.partial(method, name=...)`."
            )
        return Bound(bound(method.func), **method.keywords)
    if not callable(method):
        raise TypeError(
            f"`method` is a {type(method).__name__}; it must be a method such as "
            f"`xattr.gradient` or `functools.partial(xattr.integrated_gradients, "
            f"num_steps=64)`."
        )
    return method


def explain(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    **options: Any,
) -> Images:
    """The maps of an inner method, which must be one array."""
    maps = method(model, images, targets, **options)
    if not hasattr(maps, "dtype"):
        raise TypeError(
            f"`method` gives a {type(maps).__name__}, not one array of maps; use a "
            f"method that gives one, such as `functools.partial(xattr.grad_cam, "
            f"site=...)`."
        )
    return maps


@jax.tree_util.register_pytree_node_class
class Bound:
    """A method with keyword arguments bound; a pytree of the arrays among them."""

    def __init__(self, function: Callable[..., Any], **options: Any):
        self.function = function
        self.options = options

    def __call__(
        self,
        model: Predictor,
        images: Images,
        targets: PyTree = None,
        **options: Any,
    ) -> Any:
        return self.function(model, images, targets, **{**self.options, **options})

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", repr(self.function)).lstrip("_")
        options = (f"{k}={_name(v)}" for k, v in self.options.items())
        return f"{name}({', '.join(options)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bound):
            return NotImplemented
        arrays, static = self.tree_flatten()
        others, other_static = other.tree_flatten()
        return static == other_static and list(map(id, arrays)) == list(map(id, others))

    def __hash__(self) -> int:
        return hash(self.tree_flatten()[1])

    def tree_flatten(self) -> tuple[list[Any], Any]:
        """Arrays, and what is static."""
        leaves, treedef = jax.tree.flatten((self.function, self.options))
        arrays = [leaf for leaf in leaves if hasattr(leaf, "dtype")]
        static = tuple(
            None if hasattr(leaf, "dtype") else Static(leaf) for leaf in leaves
        )
        return arrays, (treedef, static)

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> "Bound":
        """Inverse of `tree_flatten`."""
        treedef, static = aux
        arrays = iter(children)
        leaves = [next(arrays) if s is None else s.value for s in static]
        function, options = jax.tree.unflatten(treedef, leaves)
        return cls(function, **options)


@jax.tree_util.register_pytree_node_class
class Combined(Bound):
    """A combinator with its own settings bound, which a call can't change."""

    def __call__(
        self,
        model: Predictor,
        images: Images,
        targets: PyTree = None,
        **options: Any,
    ) -> Any:
        if twice := sorted(self.options.keys() & options.keys()):
            raise TypeError(
                f"`{twice[0]}` is set already: {self!r}. To set that of the inner "
                f"method, bind it there: `functools.partial(method, {twice[0]}="
                f"{options[twice[0]]!r})`."
            )
        return super().__call__(model, images, targets, **options)


def _name(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_name, value))})"
    if hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    return getattr(value, "__name__", None) or repr(value)
