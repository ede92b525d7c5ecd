"""Which axis is which: batch, spatial, channel, carried through a program.

Axes are a string with one letter per dimension: `n` batch, `d h w` spatial, `c`
channel, `?` unknown. Convolutions say what their axes are; the other operations carry
what they were given. What can't be known for certain stays `?`.
"""

import math
from collections.abc import Sequence
from typing import Any

from jax.extend import core

from xattr.program._convolution import convolution
from xattr.program._trace import CONV, Equation, body, is_literal

_SPATIAL = {0: "", 1: "w", 2: "hw", 3: "dhw"}

_SAME_RANK = {
    "slice",
    "dynamic_slice",
    "dynamic_update_slice",
    "pad",
    "rev",
    "concatenate",
    "sort",
    "split",
    "cumsum",
    "cumprod",
    "cummax",
    "cummin",
    "cumlogsumexp",
    "reduce_window_max",
    "reduce_window_min",
    "reduce_window_sum",
    "reduce_window",
    "select_and_scatter_add",
}


def result_axes(equation: Equation, operands: Sequence[str]) -> list[str]:
    """Axes of each result of an equation, from those of its operands."""
    primitive = equation.primitive.name
    ranks = [len(variable.aval.shape) for variable in equation.outvars]
    if primitive in _RULES:
        results = [_RULES[primitive](equation, operands)] * len(ranks)
    elif primitive.startswith("reduce_") and "axes" in equation.params:
        results = [_without(operands[0], equation.params["axes"])] * len(ranks)
    elif primitive in ("argmax", "argmin"):
        results = [_without(operands[0], equation.params["axes"])]
    elif primitive in _SAME_RANK:
        results = [_merge(_of_rank(operands, rank), rank) for rank in ranks]
    elif primitive in ("scan", "while", "cond"):
        results = _loop(equation, operands)
    else:
        inner = body(equation)
        results = (
            program_axes(inner.jaxpr, operands)
            if inner is not None
            else [
                _elementwise(equation, v.aval.shape, operands) for v in equation.outvars
            ]
        )
    return [
        axes if len(axes) == rank else "?" * rank
        for axes, rank in zip(results, ranks, strict=True)
    ]


def program_axes(jaxpr: core.Jaxpr, operands: Sequence[str]) -> list[str]:
    """Axes of a program's results, from those of its inputs."""
    known: dict[Any, str] = dict(zip(jaxpr.invars, operands, strict=True))

    def read(atom: Any) -> str:
        unknown = "?" * len(atom.aval.shape)
        return unknown if is_literal(atom) else known.get(atom, unknown)

    for equation in jaxpr.eqns:
        results = result_axes(equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _of_rank(operands: Sequence[str], rank: int) -> list[str]:
    return [axes for axes in operands if len(axes) == rank]


def _merge(candidates: Sequence[str], rank: int) -> str:
    """What operands of one layout agree on; `?` where two disagree."""
    merged = ""
    for place in range(rank):
        letters = {axes[place] for axes in candidates} - {"?"}
        merged += letters.pop() if len(letters) == 1 else "?"
    return merged


def _elementwise(
    equation: Equation, shape: tuple[int, ...], operands: Sequence[str]
) -> str:
    """What operands say of the axes that they are not broadcast along."""
    alike = []
    for axes, atom in zip(operands, equation.invars, strict=True):
        sizes = atom.aval.shape
        if len(sizes) == len(shape) and all(
            size in (1, extent) for size, extent in zip(sizes, shape, strict=True)
        ):
            places = zip(axes, sizes, shape, strict=True)
            alike.append(
                "".join(a if size == extent else "?" for a, size, extent in places)
            )
    return _merge(alike, len(shape))


def _without(axes: str, dropped: Sequence[int]) -> str:
    return "".join(a for place, a in enumerate(axes) if place not in dropped)


def _conv(equation: Equation, operands: Sequence[str]) -> str:
    images, _, results = convolution(equation).axes
    batch, channel, *spatial = results
    letters = ["?"] * len(results)
    letters[batch] = operands[0][images[0]]
    letters[channel] = "c"
    for place, letter in zip(spatial, _SPATIAL.get(len(spatial), ""), strict=False):
        letters[place] = letter
    return "".join(letters)


def _dot(equation: Equation, operands: Sequence[str]) -> str:
    (contract_l, contract_r), (batch_l, batch_r) = equation.params["dimension_numbers"]
    left, right = operands
    shared = _merge(
        [
            "".join(left[i] for i in batch_l),
            "".join(right[i] for i in batch_r),
        ],
        len(batch_l),
    )
    free_left = _without(left, (*contract_l, *batch_l))
    free_right = _without(right, (*contract_r, *batch_r))
    # The free axis of a matrix of weights, which no image has, is the new channel axis.
    if "n" in free_left and "n" not in right and free_right == "?":
        free_right = "c"
    elif "n" in free_right and "n" not in left and free_left == "?":
        free_left = "c"
    return shared + free_left + free_right


def _transpose(equation: Equation, operands: Sequence[str]) -> str:
    return "".join(operands[0][i] for i in equation.params["permutation"])


def _squeeze(equation: Equation, operands: Sequence[str]) -> str:
    return _without(operands[0], equation.params["dimensions"])


def _broadcast(equation: Equation, operands: Sequence[str]) -> str:
    shape = equation.outvars[0].aval.shape
    before = equation.invars[0].aval.shape
    letters = ["?"] * len(shape)
    for source, place in enumerate(equation.params["broadcast_dimensions"]):
        if before[source] == shape[place]:
            letters[place] = operands[0][source]
    return "".join(letters)


def _reshape(equation: Equation, operands: Sequence[str]) -> str:
    """Axes that keep their extent; those of size one pair up with known ones first."""
    before = equation.invars[0].aval.shape
    after = equation.outvars[0].aval.shape
    letters = ["?"] * len(after)
    for sources, places in reshaped_groups(before, after):
        wide = [i for i in sources if before[i] != 1]
        wide_after = [j for j in places if after[j] != 1]
        if len(wide) == 1 and len(wide_after) == 1:
            letters[wide_after[0]] = operands[0][wide[0]]
        if not wide:
            known = [operands[0][i] for i in sources if operands[0][i] != "?"]
            for place, letter in zip(places, known, strict=False):
                letters[place] = letter
    return "".join(letters)


def reshaped_groups(
    before: Sequence[int], after: Sequence[int]
) -> list[tuple[list[int], list[int]]]:
    """Smallest runs of axes of both shapes that hold the same number of elements."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        sources = [i] if i < len(before) else []
        places = [j] if j < len(after) else []
        i, j = i + len(sources), j + len(places)
        size, size_after = (
            math.prod(before[k] for k in sources),
            math.prod(after[k] for k in places),
        )
        while size != size_after:
            if size < size_after and i < len(before):
                size *= before[i]
                sources.append(i)
                i += 1
            elif j < len(after):
                size_after *= after[j]
                places.append(j)
                j += 1
            else:
                break
        groups.append((sources, places))
    return groups


def _loop(equation: Equation, operands: Sequence[str]) -> list[str]:
    """Axes of a loop's or a branch's results, where every way through it agrees."""
    params = equation.params
    if equation.primitive.name == "cond":
        branches = [program_axes(b.jaxpr, operands[1:]) for b in params["branches"]]
        return [_common(results) for results in zip(*branches, strict=True)]
    if equation.primitive.name == "while":
        first = params["cond_nconsts"]
        start = first + params["body_nconsts"]
        fixed, state = operands[first:start], operands[start:]
        return _carried(params["body_jaxpr"].jaxpr, fixed, state, ())[0]
    jaxpr = params["jaxpr"].jaxpr
    first, start = scan_sizes(equation, jaxpr)
    fixed, state, items = operands[:first], operands[first:start], operands[start:]
    body_items = [axes[1:] for axes in items]
    state, results = _carried(jaxpr, fixed, state, body_items)
    loop = _common([axes[0] for axes in items]) if items else "?"
    return [*state, *(loop + axes for axes in results)]


def _carried(
    jaxpr: core.Jaxpr,
    fixed: Sequence[str],
    state: Sequence[str],
    items: Sequence[str],
) -> tuple[list[str], list[str]]:
    """Axes that a loop's state has before and after every step; and its other results.

    Letters are only ever lost, so that this ends.
    """
    while True:
        results = program_axes(jaxpr, [*fixed, *state, *items])
        after = [
            _common(pair) for pair in zip(state, results[: len(state)], strict=True)
        ]
        if after == list(state):
            return after, results[len(state) :]
        state = after


def _common(candidates: Sequence[str]) -> str:
    """The letters that are the same in all."""
    return "".join(
        letters[0] if len(set(letters)) == 1 else "?"
        for letters in zip(*candidates, strict=True)
    )


def scan_sizes(equation: Equation, jaxpr: core.Jaxpr) -> tuple[int, int]:
    """How many operands of a scan are constants, and how many with its state.

    Read off the shapes, since its parameters differ between versions of JAX: what is
    scanned over, and only that, loses an axis inside.
    """

    def alike(outside: Any, inside: Any) -> bool:
        return outside.aval.shape == inside.aval.shape

    state = sum(map(alike, equation.outvars, jaxpr.outvars))
    whole = sum(map(alike, equation.invars, jaxpr.invars))
    return whole - state, whole


_RULES = {
    "conv_general_dilated": _conv,
    CONV: _conv,
    "dot_general": _dot,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
}
