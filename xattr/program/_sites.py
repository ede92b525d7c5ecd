"""The named activations of a model, and how one of them is chosen."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr._types import Predictor
from xattr.program._axes import result_axes
from xattr.program._trace import (
    Address,
    Output,
    Program,
    inlined,
    inner_programs,
    is_literal,
    operation,
    scope,
    trace,
)


@dataclass(frozen=True)
class Site:
    """An activation of a model that can be read and replaced.

    Attributes:
      name: `path/operation:index`, the index counting that operation in that module,
        in program order. The same for every batch size, and under `jit`.
      operation: what computes it: `conv`, `relu`, `max_pool`, `add`...
      shape: its shape for the images that the model was read with.
      dtype: its type.
      axes: a letter per dimension: `n` batch, `h` and `w` spatial, `c` channel, `?`
        where that can't be told.
      modules: paths of the modules whose output it is; each selects it too.
    """

    name: str
    operation: str
    shape: tuple[int, ...]
    dtype: jnp.dtype
    axes: str
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A program's sites, where each one is computed, and what can't be reached."""

    sites: tuple[Site, ...]
    outputs: dict[str, Output]
    ambiguous: dict[str, tuple[str, ...]]
    hidden: dict[str, str]

    def select(self, name: str) -> Site:
        """The site of that exact name, or the output of the module of that path."""
        for site in self.sites:
            if name == site.name or name in site.modules:
                return site
        if name in self.ambiguous:
            raise ValueError(
                f"`site`={name!r} is the path of a module with several outputs: "
                f"{_listed(self.ambiguous[name])}. Choose one by its exact name."
            )
        if name in self.hidden:
            raise ValueError(
                f"`site`={name!r} is inside {self.hidden[name]!r}, which is read as "
                f"one operation: what is inside a loop, a branch or a function with "
                f"its own derivative can't be reached. Use "
                f"`site`={self.hidden[name]!r}, its output."
            )
        known = [
            *(s.name for s in self.sites),
            *(m for s in self.sites for m in s.modules),
        ]
        nearest = difflib.get_close_matches(name, known, n=5, cutoff=0.3) or known[-5:]
        raise ValueError(
            f"`site`={name!r} is not a site of this model. Nearest: "
            f"{_listed(nearest)}. List all with `xattr.sites(model, images)`."
        )


def sites(model: Predictor, images: Float[Array, "n ..."]) -> list[Site]:
    """Every activation that depends on the images, in program order.

    The model is read, not run: images may be `jax.ShapeDtypeStruct`.

    Args:
      model: function from a batch of images to outputs.
      images: a batch of the shape and type that the model takes.

    Returns:
      The sites. `Site.name` or one of `Site.modules` selects one elsewhere.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x @ jnp.ones((3, 2)))
      >>> [site.name for site in sites(model, jnp.ones((4, 3)))]
      ['dot:0', 'relu:0']
    """
    return list(read(trace(model, images)).sites)


@dataclass
class _Value:
    """What is known of one value of the program while walking it."""

    axes: str
    depends: bool
    producer: tuple[str, ...] | None = None
    name: str = ""
    readers: list[tuple[str, ...]] = field(default_factory=list)


@dataclass
class _Walk:
    found: dict[str, tuple[str, Output, Any, _Value]] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    counts: Counter[tuple[tuple[str, ...], str]] = field(default_factory=Counter)


def read(program: Program) -> Reading:
    """Name every activation of a program."""
    walk = _Walk()
    jaxpr = program.jaxpr.jaxpr
    inputs = [_Value("?" * len(v.aval.shape), False) for v in jaxpr.invars]
    rank = len(jaxpr.invars[-1].aval.shape)
    inputs[-1] = _Value("n" + "?" * (rank - 1), True)
    for value in _walk(jaxpr, inputs, (), (), walk):
        value.readers.append(())
    modules, ambiguous = _module_outputs(walk)
    found = tuple(
        Site(
            name, kind, aval.shape, aval.dtype, value.axes, tuple(modules.get(name, ()))
        )
        for name, (kind, _, aval, value) in walk.found.items()
    )
    outputs = {name: output for name, (_, output, _, _) in walk.found.items()}
    return Reading(found, outputs, ambiguous, walk.hidden)


def _walk(
    jaxpr: Any,
    inputs: Sequence[_Value],
    prefix: Address,
    path: tuple[str, ...],
    walk: _Walk,
) -> list[_Value]:
    values: dict[Any, _Value] = dict(zip(jaxpr.invars, inputs, strict=True))

    def value(atom: Any) -> _Value:
        constant = _Value("?" * len(atom.aval.shape), False)
        return constant if is_literal(atom) else values.get(atom, constant)

    for index, equation in enumerate(jaxpr.eqns):
        address = (*prefix, index)
        here = (*path, *scope(equation))
        operands = [value(atom) for atom in equation.invars]
        inner = inlined(equation)
        if inner is not None:
            results = _walk(inner.jaxpr, operands, address, here, walk)
        else:
            for operand in operands:
                operand.readers.append(here)
            results = _results(equation, operands, address, here, walk)
        values.update(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _results(
    equation: Any,
    operands: Sequence[_Value],
    address: Address,
    path: tuple[str, ...],
    walk: _Walk,
) -> list[_Value]:
    depends = any(operand.depends for operand in operands)
    kind = operation(equation)
    axes = result_axes(equation, [operand.axes for operand in operands])
    results = []
    for place, (variable, letters) in enumerate(
        zip(equation.outvars, axes, strict=True)
    ):
        result = _Value(letters, depends)
        if depends and jnp.issubdtype(variable.aval.dtype, jnp.inexact):
            number = walk.counts[path, kind]
            walk.counts[path, kind] += 1
            result.producer = path
            result.name = "/".join((*path, f"{kind}:{number}"))
            walk.found[result.name] = (
                kind,
                Output(address, place),
                variable.aval,
                result,
            )
        results.append(result)
    named = [result.name for result in results if result.name]
    for hidden in _hidden(equation, path) if named else ():
        walk.hidden.setdefault(hidden, named[0])
    return results


def _hidden(equation: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Names that what is inside an opaque operation would have had."""
    counts: Counter[tuple[tuple[str, ...], str]] = Counter()
    stack = [(inner, path) for inner in inner_programs(equation)]
    while stack:
        jaxpr, outer = stack.pop()
        for inside in jaxpr.eqns:
            here = (*outer, *scope(inside))
            kind = operation(inside)
            yield "/".join((*here, f"{kind}:{counts[here, kind]}"))
            counts[here, kind] += 1
            for depth in range(len(path) + 1, len(here) + 1):
                yield "/".join(here[:depth])
            stack.extend((deeper, here) for deeper in inner_programs(inside))


def _module_outputs(
    walk: _Walk,
) -> tuple[dict[str, list[str]], dict[str, tuple[str, ...]]]:
    """The one value that leaves each module, and the modules that several leave."""
    leaving: dict[str, list[str]] = defaultdict(list)
    for name, (_, _, _, value) in walk.found.items():
        path = value.producer or ()
        for depth in range(1, len(path) + 1):
            module = path[:depth]
            if any(reader[:depth] != module for reader in value.readers):
                leaving["/".join(module)].append(name)
    modules: dict[str, list[str]] = defaultdict(list)
    for module, names in leaving.items():
        if len(names) == 1:
            modules[names[0]].append(module)
    ambiguous = {m: tuple(names) for m, names in leaving.items() if len(names) > 1}
    return modules, ambiguous


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
