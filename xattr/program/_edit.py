"""Reading and replacing the activations of a model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, PyTree

from xattr._model import Model
from xattr._types import Images, Predictor
from xattr.program._sites import Site, read
from xattr.program._trace import Output, Program, trace

Activation = Inexact[Array, "..."]


def record(
    model: Predictor, images: Images, sites: str | Sequence[str]
) -> dict[str, Activation]:
    """The activations of a model at some sites, all from one pass.

    Args:
      model: function from a batch of images to outputs.
      images: the batch to run it on.
      sites: exact names or module paths; one name stands for a list of one.

    Returns:
      The activation of each site, under the name that was asked for.

    Raises:
      ValueError: if a site is unknown, ambiguous, or inside a loop.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(2 * x).sum(-1)
      >>> record(model, jnp.array([[-1.0, 3.0]]), "relu:0")["relu:0"]
      Array([[0., 6.]], dtype=float32)
    """
    names = [sites] if isinstance(sites, str) else list(sites)
    program = trace(model, images)
    found = _locate(program, names)
    recorded: dict[str, Activation] = {}

    def keep(name: str) -> Callable[[Any], Any]:
        def hook(activation: Any) -> Any:
            recorded[name] = activation
            return activation

        return hook

    hooks = _combine({name: keep(name) for name in names}, found)
    program.run(images, hooks)
    return recorded


def edit(
    model: Predictor, replacements: Mapping[str, Callable[[Activation], Activation]]
) -> Model:
    """The same model with some activations replaced by functions of themselves.

    Args:
      model: function from a batch of images to outputs.
      replacements: for each site, by exact name or module path, a function from the
        activation to another of the same shape and type.

    Returns:
      The edited model. It may be explained and edited like any other. It compares by
      the identity of the functions: keep them, rather than make them anew, to avoid
      compiling again.

    Raises:
      ValueError: when it is called, if a site is unknown, ambiguous, or inside a loop,
        or if a function changes the shape or the type.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).sum(-1)
      >>> edited = edit(model, {"relu:0": lambda a: a.at[:, 0].set(0)})
      >>> edited(jnp.array([[5.0, 3.0]]))
      Array([3.], dtype=float32)
    """
    return Model(_Edited(tuple(replacements.items())), model)


class _Edited(NamedTuple):
    """Calls a model with its activations replaced; equal when the functions are."""

    replacements: tuple[tuple[str, Callable[[Any], Any]], ...]

    def __call__(self, model: Predictor, images: Images) -> PyTree:
        program = trace(model, images)
        functions = {
            name: _checked(name, function) for name, function in self.replacements
        }
        return program.run(images, _combine(functions, _locate(program, functions)))


class Perturbed(NamedTuple):
    """A model as a function of small changes to its activations.

    Attributes:
      call: from one perturbation per site, added to its activation, to the outputs and
        the perturbed activations. Its derivative at zero is that of the activations,
        and costs only what lies above the lowest of the sites.
      zeros: the perturbations that change nothing.
      sites: the site that each name stands for.
    """

    call: Callable[[dict[str, Activation]], tuple[PyTree, dict[str, Activation]]]
    zeros: dict[str, Activation]
    sites: dict[str, Site]


def perturb(model: Predictor, images: Images, sites: Sequence[str]) -> Perturbed:
    """The form of a model that methods differentiate with respect to activations."""
    program = trace(model, images)
    found = _locate(program, sites)
    zeros = {
        name: jnp.zeros(site.shape, site.dtype) for name, (site, _) in found.items()
    }

    def call(
        perturbations: dict[str, Activation],
    ) -> tuple[PyTree, dict[str, Activation]]:
        activations: dict[str, Activation] = {}

        def add(name: str) -> Callable[[Any], Any]:
            def hook(activation: Any) -> Any:
                activations[name] = activation + perturbations[name]
                return activations[name]

            return hook

        outputs = program.run(
            images, _combine({name: add(name) for name in found}, found)
        )
        return outputs, activations

    return Perturbed(call, zeros, {name: site for name, (site, _) in found.items()})


def _locate(
    program: Program, names: Sequence[str] | Mapping[str, Any]
) -> dict[str, tuple[Site, Output]]:
    reading = read(program)
    chosen = {name: reading.select(name) for name in names}
    return {name: (site, reading.outputs[site.name]) for name, site in chosen.items()}


def _combine(
    functions: Mapping[str, Callable[[Any], Any]],
    found: Mapping[str, tuple[Site, Output]],
) -> dict[Output, Callable[[Any], Any]]:
    """One hook per output: two names may stand for the same site."""
    hooks: dict[Output, Callable[[Any], Any]] = {}
    for name, function in functions.items():
        output = found[name][1]
        before = hooks.get(output)
        hooks[output] = function if before is None else _then(before, function)
    return hooks


def _then(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Any:
    return lambda activation: second(first(activation))


def _checked(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def hook(activation: Any) -> Any:
        # Its operations get names of their own, so that those of the model stay.
        with jax.named_scope("edit"):
            replaced = function(activation)
        if not hasattr(replaced, "dtype"):
            raise TypeError(
                f"the replacement of `site`={name!r} returned a "
                f"{type(replaced).__name__}; it must return an array."
            )
        before, after = jax.typeof(activation), jax.typeof(replaced)
        if (before.shape, before.dtype) != (after.shape, after.dtype):
            raise ValueError(
                f"the replacement of `site`={name!r} returned {after.str_short()}, "
                f"but the activation is {before.str_short()}: it must keep shape and "
                f"type."
            )
        return replaced

    return hook
