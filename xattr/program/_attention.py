"""Where a model's tokens read each other: its softmaxes, found by what they compute."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Array, Float

from xattr._types import Predictor
from xattr.program._sites import Reading, Site, read
from xattr.program._trace import Address, Output, body, inlined, is_literal, trace

_SAME = {"convert_element_type", "copy", "reduce_precision", "stop_gradient"}
# Calls of one body with their own operands; a loop's body sees other shapes.
_CALLS = {"jit", "pjit", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}


@dataclass(frozen=True)
class Attention:
    """Weights by which the tokens of each image are read by all of its tokens.

    Attributes:
      site: where the weights are: the result of a softmax.
      images: the site's axis of images; None for a batch of one whose axis is lost.
      queries: the site's axis of tokens that read.
      keys: its axis of tokens that are read; each query's weights sum to one over it.
    """

    site: Site
    images: int | None
    queries: int
    keys: int

    @property
    def num_tokens(self) -> int:
        """Number of tokens."""
        return self.site.shape[self.keys]

    def heads(self, weights: Float[Array, "..."]) -> Float[Array, "n a q k"]:
        """The site's activation, or anything of its shape, with its heads on one axis.

        Axes that are neither of images nor of tokens are heads.
        """
        first = () if self.images is None else (self.images,)
        last = (self.queries, self.keys)
        heads = [a for a in range(weights.ndim) if a not in first + last]
        n, t = 1 if self.images is None else weights.shape[self.images], self.num_tokens
        return weights.transpose(*first, *heads, *last).reshape(n, -1, t, t)


def attentions(model: Predictor, images: Float[Array, "n ..."]) -> list[Attention]:
    """Every self-attention of a model, in program order.

    A softmax is recognized by what it computes, exponentials divided by their sum over
    one axis, however it is written; and as attention if another axis beside that of
    the images is as long.

    Args:
      model: function from a batch of images to outputs.
      images: a batch of the shape and type that the model takes; may be abstract.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.softmax(x @ x.swapaxes(1, 2)) @ x
      >>> [found.site.name for found in attentions(model, jnp.ones((2, 5, 3)))]
      ['div:0']

    Notes:
      What a fused kernel computes, or a loop over blocks, is one operation, whose
      weights can't be read.
    """
    program = trace(model, images)
    reading = read(program)
    walk = _Walk(reading)
    jaxpr = program.jaxpr.jaxpr
    walk.run(jaxpr, [None] * len(jaxpr.invars), ())
    n = images.shape[0]
    found = (_attention(site, keys, n) for site, keys in walk.softmaxes)
    return [attention for attention in found if attention is not None]


def _attention(site: Site, keys: int, n: int) -> Attention | None:
    """A softmax as self-attention; None if no other axis can be that of its queries."""
    images = site.axes.index("n") if "n" in site.axes else None
    # A batch of one may lose its axis where products drop axes of size one.
    if images == keys or (images is None and n != 1):
        return None
    others = [
        axis
        for axis, size in enumerate(site.shape)
        if size == site.shape[keys] > 1 and axis not in (keys, images)
    ]
    # Heads may be as many as tokens; scores are written with queries beside keys.
    near = min(others, key=lambda axis: (abs(axis - keys), axis), default=None)
    return None if near is None else Attention(site, images, near, keys)


class _Exponentials:
    """The results of one `exp`, known by identity."""


class _Sums(NamedTuple):
    """Sums of exponentials over an axis, which may be kept with size 1."""

    of: _Exponentials
    axis: int
    kept: bool


class _Softmax(NamedTuple):
    """Exponentials divided by their sums over an axis."""

    axis: int


_Fact = _Exponentials | _Sums | _Softmax | None


class _Walk:
    """A pass over the program that knows of each value whether it is on that way."""

    def __init__(self, reading: Reading):
        self.sites = {site.name: site for site in reading.sites}
        self.names = {output: name for name, output in reading.outputs.items()}
        self.softmaxes: list[tuple[Site, int]] = []

    def run(
        self, jaxpr: Any, operands: Sequence[_Fact], prefix: Address
    ) -> list[_Fact]:
        """What is known of the program's results."""
        known: dict[Any, _Fact] = dict(zip(jaxpr.invars, operands, strict=True))

        def find(atom: Any) -> _Fact:
            return None if is_literal(atom) else known.get(atom)

        for index, equation in enumerate(jaxpr.eqns):
            facts = [find(atom) for atom in equation.invars]
            results = self.results(equation, facts, (*prefix, index))
            known.update(zip(equation.outvars, results, strict=True))
        return [find(atom) for atom in jaxpr.outvars]

    def results(
        self, equation: Any, operands: list[_Fact], address: Address
    ) -> list[_Fact]:
        """What is known of an equation's results; softmaxes that are sites are kept."""
        inner = inlined(equation)
        if inner is not None:
            return self.run(inner.jaxpr, operands, address)
        called = body(equation) if equation.primitive.name in _CALLS else None
        if called is not None:
            # What is inside has no names of its own.
            facts = _Walk(Reading((), {}, {}, {})).run(called.jaxpr, operands, ())
        else:
            facts = [_fact(equation, operands)] * len(equation.outvars)
        for place, fact in enumerate(facts):
            name = self.names.get(Output(address, place))
            if isinstance(fact, _Softmax) and name is not None and _ends(equation):
                self.softmaxes.append((self.sites[name], fact.axis))
        return facts


def _ends(equation: Any) -> bool:
    """Whether an equation makes its result, rather than passes it on."""
    return equation.primitive.name not in _SAME


def _fact(equation: Any, operands: list[_Fact]) -> _Fact:
    """What is known of the result of one operation."""
    primitive = equation.primitive.name
    if primitive in ("exp", "exp2"):
        return _Exponentials()
    first = operands[0] if operands else None
    if primitive in _SAME:
        return first
    if primitive == "reduce_sum" and isinstance(first, _Exponentials):
        axes = equation.params["axes"]
        return _Sums(first, int(axes[0]), kept=False) if len(axes) == 1 else None
    if primitive in ("broadcast_in_dim", "reshape") and isinstance(first, _Sums):
        return _expanded(equation, first)
    if primitive == "div":
        return _quotient(*operands)
    return None


def _expanded(equation: Any, sums: _Sums) -> _Sums | None:
    """Sums with their axis put back, as long as the others are left in place."""
    before = list(equation.invars[0].aval.shape)
    after = list(equation.outvars[0].aval.shape)
    if not sums.kept:
        before.insert(sums.axis, 1)
    if equation.primitive.name == "broadcast_in_dim":
        axes = [a for a in range(len(before)) if sums.kept or a != sums.axis]
        if list(map(int, equation.params["broadcast_dimensions"])) != axes:
            return None
    before[sums.axis : sums.axis + 1] = after[sums.axis : sums.axis + 1]
    return sums._replace(kept=True) if before == after else None


def _quotient(above: _Fact, below: _Fact) -> _Fact:
    if not (isinstance(below, _Sums) and below.kept and below.of is above):
        return None
    return _Softmax(below.axis)
