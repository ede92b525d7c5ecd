"""What rules, and the places they are for, may ask of a program's blocks."""

from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from xattr.program._blocks import Blocks
from xattr.program._carrying import FROZEN, Block
from xattr.program._flat import SpelledOut
from xattr.program._trace import inner_programs, is_literal, scope

# They change no entry.
_PLAIN = {
    "broadcast_in_dim",
    "convert_element_type",
    "copy",
    "name",
    "reshape",
    "rev",
    "sharding_constraint",
    "squeeze",
    "transpose",
}


_BY_ENTRY = {"activation", "affine", "maximum", "minimum", "structural", "sum"}


class Facts:
    """Facts of blocks.

    Attributes:
      images: the variable of the images.
      blocks: all of them, in program order.
      producers: the block that gives a value.
      results: the values that are outputs.
      nonnegative: the values that are known to be nowhere negative.
    """

    def __init__(self, spelled: SpelledOut, blocks: Blocks) -> None:
        """Read the blocks of a model."""
        jaxpr = spelled.program.jaxpr
        (self.images,) = jaxpr.invars
        self._spelled, self._carrying = spelled, blocks.carrying
        self._sites = {name: v for v, name in spelled.names.items()}
        self.blocks = [step for step in blocks.steps if isinstance(step, Block)]
        self.producers = {v: block for block in self.blocks for v in block.outputs}
        self.results = {v for v in jaxpr.outvars if not is_literal(v)}
        self._below = _reached(self.blocks, lambda b: (b.inputs, b.outputs))
        self._above = _reached(self.blocks[::-1], lambda b: (b.outputs, b.inputs))
        self.nonnegative: set[Any] = set()
        for block in self.blocks:
            if _is_nonnegative(block, self.nonnegative):
                self.nonnegative.update(block.outputs)

    def first(self, block: Block) -> bool:
        """Whether no layer with weights is between the images and a block."""
        return not any(v in self._below for v in block.inputs)

    def last(self, block: Block) -> bool:
        """Whether no layer with weights is between a block and the outputs."""
        return not any(v in self._above for v in block.outputs)

    def inside(self, block: Block, path: str) -> bool:
        """Whether any part of a block is in a module."""
        scopes = ("/".join((*scope(e), "")) for e in block.equations)
        return any(s.startswith(f"{path}/") for s in scopes)

    def above(self, block: Block, site: str) -> bool:
        """Whether a block comes after a site in the program's order."""
        order = self._carrying.order
        site = self._spelled.reading.select(site).name
        producer = self._carrying.producers[self._sites[site]]
        return order[id(block.equations[-1])] > order[id(producer)]

    def frozen(self, block: Block) -> bool:
        """Whether a block reads what images decide on without a derivative."""
        return any(self._carrying.levels[v] == FROZEN for v in block.others)

    def loses(self, block: Block) -> bool:
        """Whether a block puts constants beside what it moves."""
        others = (
            atom
            for equation in block.equations
            for atom in equation.invars
            if is_literal(atom) or atom in block.others
        )
        return any(
            _is_inexact(atom) and not (is_literal(atom) and not np.any(atom.val))
            for atom in others
        )

    def is_hidden(self, block: Block) -> bool:
        """Whether a block is a loop or a branch, in which rules would be ignored."""
        names = {e.primitive.name for e in block.equations}
        return bool(names & {"scan", "while", "cond"}) and any(
            True for e in block.equations for _ in inner_programs(e)
        )

    def is_cut_off(self) -> bool:
        """Whether the outputs depend on the images, but nothing carries."""
        levels = self._carrying.levels
        depend = any(levels[v] == FROZEN for v in self.results)
        return depend and self.images not in self._carrying.live

    def ends(self, value: Any) -> bool:
        """Whether a value is an output, or becomes one entry by entry."""
        moved = [
            result
            for block in self.blocks
            if block.kind in _BY_ENTRY and value in block.inputs
            for result in block.outputs
        ]
        return value in self.results or any(map(self.ends, moved))

    def is_module(self, path: str) -> bool:
        """Whether any operation is in a module."""
        return any(self.inside(block, path) for block in self.blocks)

    def chain(self, block: Block) -> list[Block] | None:
        """The blocks between the images and a block, if they keep entries apart."""
        found: list[Block] = []
        value = block.inputs[0]
        while value is not self.images:
            before = self.producers[value]
            moves = before.equations[0].primitive.name in _PLAIN
            if not (moves or before.kind == "affine") or len(before.inputs) != 1:
                return None
            found.insert(0, before)
            value = before.inputs[0]
        return found


def _reached(blocks: Iterable[Block], ends: Callable[[Block], Any]) -> set[Any]:
    """Values with a layer with weights on one side of them."""
    reached: set[Any] = set()
    for block in blocks:
        near, far = ends(block)
        if block.kind in ("conv", "dense") or any(v in reached for v in near):
            reached.update(far)
    return reached


def _is_nonnegative(block: Block, known: set[Any]) -> bool:
    """Whether a block's outputs are nowhere negative, given which values are."""
    names = {equation.primitive.name for equation in block.equations}
    if block.kind in ("relu", "rectifier"):
        return True
    if block.kind == "softmax":
        return not names & {"log", "sub"} or "div" in names
    if block.kind not in (
        *("affine", "maximum", "minimum", "pool", "structural", "sum"),
    ):
        return False
    written = (a for e in block.equations for a in e.invars if is_literal(a))
    constants = any(map(_is_inexact, block.others)) or any(
        np.any(np.asarray(atom.val) < 0) for atom in written
    )
    kept = not constants and not names & {"sub", "neg"}
    return kept and all(v in known for v in block.inputs)


def _is_inexact(atom: Any) -> bool:
    return jnp.issubdtype(atom.aval.dtype, jnp.inexact)
