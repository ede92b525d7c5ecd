"""What of a program carries relevance from the images to the outputs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from xattr.program._trace import (
    Equation,
    is_literal,
    run_equation,
    run_equations,
    scope,
)

# How a value depends on the images: not, as a constant of theirs, or differentiably.
CONSTANT, FROZEN, CARRIES = range(3)


@dataclass(frozen=True, eq=False)
class Block:
    """Equations that pass relevance on together.

    Attributes:
      kind: what a composite knows it as.
      equations: in program order.
      inputs: the values that relevance is passed on to.
      outputs: the values that it comes from.
      others: what else is read, constant or frozen.
      core: the convolution or product of a layer with weights.
      names: of the sites that it computes.
    """

    kind: str
    equations: tuple[Equation, ...]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    others: tuple[Any, ...]
    core: Equation | None = None
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The site that stands for the block: its result, if that has a name."""
        if self.names:
            return self.names[-1]
        return "/".join((*scope(self.equations[-1]), self.kind))


def variables(equation: Equation) -> list[Any]:
    """What an equation reads, but for constants written into the program."""
    return [atom for atom in equation.invars if not is_literal(atom)]


class Carrying:
    """How a flat program's values depend on the images, and the outputs on them.

    Attributes:
      levels: of each value, whether it is constant, frozen or carries.
      live: the values that carry and that the outputs depend on through carrying ones.
      producers: the equation that gives a value.
      readers: those that read it.
      results: how many outputs it is.
    """

    def __init__(self, jaxpr: Any, names: Any, stops: Any) -> None:
        """Read a program.

        Args:
          jaxpr: of the images alone.
          names: of the values that are sites.
          stops: whether an equation's results are taken as constants.
        """
        self.jaxpr, self.names = jaxpr, names
        self.producers = {v: e for e in jaxpr.eqns for v in e.outvars}
        self.order = {id(e): k for k, e in enumerate(jaxpr.eqns)}
        self.readers: dict[Any, list[Equation]] = {}
        for equation in jaxpr.eqns:
            for variable in set(variables(equation)):
                self.readers.setdefault(variable, []).append(equation)
        self.results = Counter(v for v in jaxpr.outvars if not is_literal(v))
        self.levels = self._levels(stops)
        self.live = self._live()

    def _levels(self, stops: Any) -> dict[Any, int]:
        levels = dict.fromkeys(self.jaxpr.constvars, CONSTANT)
        levels |= dict.fromkeys(self.jaxpr.invars, CARRIES)
        for equation in self.jaxpr.eqns:
            level = max((levels[v] for v in variables(equation)), default=CONSTANT)
            stopped = level == CARRIES and stops(equation)
            for variable in equation.outvars:
                discrete = not jnp.issubdtype(variable.aval.dtype, jnp.inexact)
                levels[variable] = min(level, FROZEN) if stopped or discrete else level
        return levels

    def _live(self) -> set[Any]:
        levels = self.levels
        live = {v for v in self.results if levels[v] == CARRIES}
        for equation in reversed(self.jaxpr.eqns):
            if any(v in live for v in equation.outvars):
                live |= {v for v in variables(equation) if levels[v] == CARRIES}
        return live

    def carried(self, equation: Equation) -> list[Any]:
        """The values that an equation reads and passes relevance on to."""
        return list(dict.fromkeys(v for v in variables(equation) if v in self.live))

    def depends(self, equation: Equation) -> list[Any]:
        """The values that an equation reads and that depend on the images at all."""
        return [v for v in variables(equation) if self.levels[v] != CONSTANT]

    def is_constant(self, atom: Any) -> bool:
        """Whether an operand is the same for all images."""
        return is_literal(atom) or self.levels[atom] == CONSTANT

    def only_in(self, variable: Any, equations: Sequence[Equation]) -> bool:
        """Whether nothing outside of some equations reads a value."""
        inside = set(map(id, equations))
        readers = self.readers.get(variable, ())
        return not self.results[variable] and all(id(e) in inside for e in readers)

    def block(
        self,
        kind: str,
        equations: Iterable[Equation],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        core: Equation | None = None,
    ) -> Block:
        """A block of equations, in the program's order."""
        ordered = tuple(sorted(equations, key=lambda e: self.order[id(e)]))
        inside = {v for e in ordered for v in e.outvars}
        read = dict.fromkeys(v for e in ordered for v in variables(e))
        others = tuple(v for v in read if v not in inside and v not in inputs)
        named = (self.names[v] for e in ordered for v in e.outvars if v in self.names)
        return Block(
            kind, ordered, tuple(inputs), tuple(outputs), others, core, tuple(named)
        )


def run_block(
    block: Block, live: set[Any], inputs: Sequence[Any], others: Sequence[Any]
) -> list[Any]:
    """A block's outputs; what carries nothing in it has no derivative."""
    read = (*block.inputs, *block.others)
    values = dict(zip(read, (*inputs, *others), strict=True))
    for equation in block.equations:
        kept = any(v in live for v in equation.outvars)
        run_equations([equation], values, run_equation if kept else stopped)
    return [values[v] for v in block.outputs]


def stopped(equation: Equation, operands: Sequence[Any]) -> list[Any]:
    """Results of what carries no relevance, or is taken as a constant."""
    return jax.lax.stop_gradient(run_equation(equation, operands))
