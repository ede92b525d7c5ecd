"""A model as a program: its equations, and running them one by one.

This file and its neighbours are the only ones that know JAX's intermediate
representation. Everything here is ordinary tracing: it works under `jit`, `grad` and
`vmap`, and the values that it handles may be tracers.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jax.core import eval_jaxpr
from jax.extend import core

from xattr._model import refuse_nnx

# Calls whose body reads as if it stood in the caller. Custom derivative rules are
# not among them: reading their body in place would lose the rule.
_INLINED = {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}

# What `rewrite` puts in a convolution's place.
CONV = "xattr_conv"

# Calls that users know as one operation.
_NAMED_CALLS = {
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "swish",
    "mish",
    "softplus",
    "softmax",
    "log_softmax",
    "sigmoid",
    "hard_sigmoid",
    "hard_swish",
    "hard_silu",
    "hard_tanh",
    "log_sigmoid",
    "logsumexp",
}

_SHORT = {
    CONV: "conv",
    "conv_general_dilated": "conv",
    "dot_general": "dot",
    "reduce_window_max": "max_pool",
    "reduce_window_sum": "sum_pool",
    "reduce_sum": "sum",
    "custom_jvp_call": "custom_jvp",
    "custom_vjp_call": "custom_vjp",
    "custom_vjp_call_jaxpr": "custom_vjp",
    "broadcast_in_dim": "broadcast",
    "convert_element_type": "convert",
}

# A `JaxprEqn`; its variables have a shape and a type, which its class does not promise.
Equation = Any

# Address of an equation: its index, after the indices of the inlined calls around it.
Address = tuple[int, ...]


# Results of an equation, from its operands.
Evaluate = Callable[[Equation, Sequence[Any]], list[Any]]


class Output(NamedTuple):
    """One result of one equation."""

    address: Address
    place: int


@dataclass(frozen=True)
class Program:
    """A traced model: `leaves` are its arrays, `run` gives its outputs again."""

    jaxpr: core.ClosedJaxpr
    leaves: tuple[Any, ...]
    outputs: Any

    def run(
        self,
        images: Any,
        hooks: dict[Output, Callable[[Any], Any]] | None = None,
        evaluate: Evaluate | None = None,
    ) -> Any:
        """Outputs for `images`, each hooked value replaced by its hook's result.

        With `evaluate`, every equation, those of inlined calls too, is evaluated by it.
        """
        operands = (*self.leaves, images)
        flat = _run(self.jaxpr, operands, hooks or {}, evaluate, ())
        return jax.tree.unflatten(self.outputs, flat)


def trace(model: Any, images: Any) -> Program:
    """The program of `model` on `images`; abstract images are enough to read it."""
    refuse_nnx(model)
    leaves, treedef = jax.tree.flatten(model)
    dynamic = [is_array(leaf) for leaf in leaves]

    def call(arrays: Sequence[Any], images: Any) -> Any:
        rest = iter(arrays)
        merged = [
            next(rest) if is_dynamic else leaf
            for is_dynamic, leaf in zip(dynamic, leaves, strict=True)
        ]
        return jax.tree.unflatten(treedef, merged)(images)

    arrays = tuple(
        leaf for leaf, is_dynamic in zip(leaves, dynamic, strict=True) if is_dynamic
    )
    jaxpr, shapes = jax.make_jaxpr(call, return_shape=True)(arrays, images)
    return Program(jaxpr, arrays, jax.tree.structure(shapes))


def is_array(value: Any) -> bool:
    """Whether a leaf is data: a JAX or NumPy array, concrete or traced."""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def is_literal(atom: Any) -> bool:
    """Whether an equation's operand is a constant written into the program."""
    return isinstance(atom, core.Literal)


def inlined(equation: Equation) -> core.ClosedJaxpr | None:
    """The body of a call that is read in place; None for any other equation."""
    if equation.primitive.name not in _INLINED or call_name(equation) in _NAMED_CALLS:
        return None
    return body(equation)


def body(equation: Equation) -> core.ClosedJaxpr | None:
    """The program that an equation calls once with its own operands, if it does."""
    for parameter in ("jaxpr", "call_jaxpr"):
        inner = equation.params.get(parameter)
        if inner is None:
            continue
        closed = inner if hasattr(inner, "consts") else core.ClosedJaxpr(inner, ())
        if len(closed.jaxpr.invars) == len(equation.invars):
            return closed
    return None


def inner_programs(equation: Equation) -> Iterator[core.Jaxpr]:
    """Every program that an equation holds: loop bodies, branches, called functions."""
    for value in equation.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            inner = getattr(item, "jaxpr", item)
            if isinstance(inner, core.Jaxpr):
                yield inner


def call_name(equation: Equation) -> str:
    """The name of the function that a call equation calls; empty if it has none."""
    name = equation.params.get("name")
    return name if isinstance(name, str) else ""


def operation(equation: Equation) -> str:
    """What an equation computes, in the words that users know: conv, relu, add..."""
    primitive = equation.primitive.name
    if primitive == "max" and any(
        is_literal(atom) and atom.aval.shape == () and float(atom.val) == 0
        for atom in equation.invars
    ):
        return "relu"
    if primitive == "custom_jvp_call":
        inner = body(equation)
        if inner is not None and inner.jaxpr.debug_info.func_name == "max_pool":
            return "max_pool"  # where `jit` is disabled, many equations
        if inner is not None and len(inner.jaxpr.eqns) == 1:
            (only,) = inner.jaxpr.eqns
            # Where `jit` is disabled, the call inside `relu` is a bare maximum.
            bare = operation(only)
            known = bare if bare in ("relu", "max_pool") else "custom_jvp"
            return call_name(only) or known
    if primitive in _INLINED and call_name(equation) in _NAMED_CALLS:
        return _SHORT.get(call_name(equation), call_name(equation))
    return _SHORT.get(primitive, primitive)


def scope(equation: Equation) -> tuple[str, ...]:
    """Module path of an equation, without the wrappers of JAX's transformations."""
    plain = re.sub(r"\w+\(|\)", "", str(equation.source_info.name_stack))
    return tuple(part for part in plain.split("/") if part)


def run_equation(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    """Results of one equation, None in the place of those that nothing reads."""
    variables: dict[Any, Any] = {}
    for atom, value in zip(equation.invars, operands, strict=True):
        if not is_literal(atom):
            variables[atom] = value
    kept = [v for v in equation.outvars if not isinstance(v, core.DropVar)]
    single = core.Jaxpr(
        (), list(variables), kept, [equation], equation.effects, _nameless()
    )
    results = iter(eval_jaxpr(single, (), *variables.values()))
    return [
        None if isinstance(v, core.DropVar) else next(results) for v in equation.outvars
    ]


def run_body(
    program: core.ClosedJaxpr, operands: Sequence[Any], evaluate: Evaluate
) -> list[Any]:
    """Results of what an equation calls, each equation in it by `evaluate`."""
    return _run(program, operands, {}, evaluate, ())


def run_equations(
    equations: Iterable[Equation],
    values: dict[Any, Any],
    evaluate: Evaluate = run_equation,
) -> None:
    """Add the results of some equations to the values of variables."""
    for equation in equations:
        operands = [value_of(atom, values) for atom in equation.invars]
        results = evaluate(equation, operands)
        values.update(zip(equation.outvars, results, strict=True))


def value_of(atom: Any, values: dict[Any, Any]) -> Any:
    """The value of a variable, or of a constant written into the program."""
    return atom.val if is_literal(atom) else values[atom]


@functools.cache
def _nameless() -> Any:
    info = jax.make_jaxpr(lambda: ())().jaxpr.debug_info
    return info._replace(arg_names=None, result_paths=None)


def _run(
    program: core.ClosedJaxpr,
    operands: Sequence[Any],
    hooks: dict[Output, Callable[[Any], Any]],
    evaluate: Evaluate | None,
    prefix: Address,
) -> list[Any]:
    jaxpr = program.jaxpr
    # One environment per call: a cached inner call reuses its variables.
    values: dict[Any, Any] = dict(
        zip(
            (*jaxpr.constvars, *jaxpr.invars),
            (*program.consts, *operands),
            strict=True,
        )
    )

    def read(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    for index, equation in enumerate(jaxpr.eqns):
        address = (*prefix, index)
        arguments = [read(atom) for atom in equation.invars]
        inner = inlined(equation)
        if inner is not None and (evaluate or _reaches(hooks, address)):
            with entered(equation):
                results = _run(inner, arguments, hooks, evaluate, address)
        else:
            results = (evaluate or run_equation)(equation, arguments)
        for place, variable in enumerate(equation.outvars):
            hook = hooks.get(Output(address, place))
            if hook is not None:
                # What replaces an activation stands where the activation stood.
                with entered(equation):
                    results[place] = hook(results[place])
            values[variable] = results[place]
    return [read(atom) for atom in jaxpr.outvars]


def entered(equation: Equation) -> contextlib.AbstractContextManager[Any]:
    """The scope of an equation's module, for what is computed in its place."""
    path = "/".join(scope(equation))
    return jax.named_scope(path) if path else contextlib.nullcontext()


def _reaches(hooks: dict[Output, Callable[[Any], Any]], address: Address) -> bool:
    return any(
        len(output.address) > len(address) and output.address[: len(address)] == address
        for output in hooks
    )
