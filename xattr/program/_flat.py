"""A program as one list of equations, with every call read in place."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from xattr.program._trace import (
    Equation,
    Program,
    body,
    inlined,
    is_literal,
    run_equation,
)

# A value of the program: its number, or what is written into the program itself.
Reference = Any

# Calls whose body computes the same, once derivatives don't matter.
_OWN_RULES = {"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}
_CALLS = {"jit", "pjit"}


class Written(NamedTuple):
    """A constant that stands in the program's text."""

    value: Any


class Step(NamedTuple):
    """One equation, and the numbers of the values that it reads and makes."""

    equation: Equation
    operands: tuple[Reference, ...]
    results: tuple[int, ...]


class Flat(NamedTuple):
    """A program for evaluation alone: custom derivatives are gone.

    Attributes:
      given: values that are known without the images, by number.
      images: number of the images.
      steps: the equations in order.
      outputs: what the program returns.
    """

    given: dict[int, Any]
    images: int
    steps: tuple[Step, ...]
    outputs: tuple[Reference, ...]

    def run(
        self, images: Any, keep: Callable[[int, Any], None] = lambda *_: None
    ) -> list[Any]:
        """The outputs, every value on the way shown to `keep`."""
        values = dict(self.given) | {self.images: images}
        keep(self.images, images)
        for step in self.steps:
            operands = [read(values, each) for each in step.operands]
            results = run_equation(step.equation, operands)
            for number, result in zip(step.results, results, strict=True):
                values[number] = result
                keep(number, result)
        return [read(values, each) for each in self.outputs]


def read(values: dict[int, Any], reference: Reference) -> Any:
    """The value that a reference stands for."""
    return reference.value if isinstance(reference, Written) else values[reference]


def flatten(program: Program) -> Flat:
    """A program with the body of every call in the place of the call."""
    numbers = _Numbers()
    jaxpr = program.jaxpr.jaxpr
    given = {numbers.new(): value for value in (*program.jaxpr.consts, *program.leaves)}
    images = numbers.new()
    steps: list[Step] = []
    outputs = _flatten(jaxpr, [*given, images], numbers, steps, given)
    return Flat(given, images, tuple(steps), tuple(outputs))


class _Numbers:
    def __init__(self) -> None:
        self.last = -1

    def new(self) -> int:
        self.last += 1
        return self.last


def _flatten(
    jaxpr: Any,
    operands: Iterable[Reference],
    numbers: _Numbers,
    steps: list[Step],
    given: dict[int, Any],
) -> list[Reference]:
    variables = (*jaxpr.constvars, *jaxpr.invars)
    known: dict[Any, Reference] = dict(zip(variables, operands, strict=True))

    def find(atom: Any) -> Reference:
        return Written(atom.val) if is_literal(atom) else known[atom]

    for equation in jaxpr.eqns:
        found = tuple(find(atom) for atom in equation.invars)
        inner = _called(equation)
        if inner is None:
            results: Sequence[Reference] = tuple(
                numbers.new() for _ in equation.outvars
            )
            steps.append(Step(equation, found, tuple(results)))
        else:
            constants = [numbers.new() for _ in inner.consts]
            given.update(zip(constants, inner.consts, strict=True))
            results = _flatten(inner.jaxpr, [*constants, *found], numbers, steps, given)
        known.update(zip(equation.outvars, results, strict=True))
    return [find(atom) for atom in jaxpr.outvars]


def _called(equation: Equation) -> Any:
    if equation.primitive.name in _CALLS | _OWN_RULES:
        return body(equation)
    return inlined(equation)
