"""Operations, rules for them, and composites, which say what rule goes where."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from jaxtyping import Array, Float

from xattr.program._layer import Layer

Value = Float[Array, "..."]


class Reference(NamedTuple):
    """What an operation reads and gives for the images compared with."""

    inputs: tuple[Value, ...]
    output: Value


class Operation(NamedTuple):
    """What a rule may ask of the operation that it stands for.

    Attributes:
      kind: one of

        - `conv`, `dense`: a layer with weights, and what is constant after it;
        - `attend`: a product with weights that are frozen;
        - `relu`; `rectifier`, another function that is zero below zero and never falls;
          `activation`, any other function of each entry; `affine`, a constant added
          or multiplied;
        - `norm`, `softmax`: of one value;
        - `pool`, a sum over axes or windows; `maximum` and `minimum`, over them
          or of two values;
        - `sum`, `product`, `quotient` of two values;
        - `structural`: what only moves values;
        - `unknown`: anything else.
      name: its site.
      run: from its inputs to its output; what is frozen is a constant of it.
      layer: the weights and biases of a `conv`, `dense` or `attend`; else None.
      nonnegative: whether its input is known to be nowhere negative.
      from_images: what its input is where all pixels have some value, if what is
        between only moves them, multiplies and adds; else None.
      reference: what it reads and gives for the baseline, if there is one.
    """

    kind: str
    name: str
    run: Callable[..., Value]
    layer: Layer | None
    nonnegative: bool
    from_images: Callable[[float], Value] | None
    reference: Reference | None


# From the operation, its inputs, its output and the relevance of its output, to the
# relevance of each input.
Rule = Callable[[Operation, tuple[Value, ...], Value, Value], tuple[Value, ...]]


class Where(NamedTuple):
    """Which operations a rule is for: those that all of this is true of.

    Attributes:
      kinds: what they are; any if empty.
      first: whether no layer with weights is between the images and them.
      last: whether no layer with weights is between them and the outputs.
      path: the module that they are in.
      before: a site; operations up to it in the program's order.
      after: a site; operations above it.
    """

    kinds: tuple[str, ...] = ()
    first: bool | None = None
    last: bool | None = None
    path: str | None = None
    before: str | None = None
    after: str | None = None


class Composite(NamedTuple):
    """Which rule goes where.

    Attributes:
      rules: the first whose place fits is used. None in the place of a rule leaves
        JAX's own derivative.
      frozen: operations whose results are taken as constants, by name; `softmax` and
        `norm` (of which it is what it divides by) by what they compute.
      flow: what is passed on. `relevance`, so that an operation without a rule is an
        error; `gradient`, in which it keeps its derivative; `difference`, a gradient
        between images and a baseline, in which it may if it is linear.
    """

    rules: tuple[tuple[Where, Rule | None], ...]
    frozen: tuple[str, ...] = ()
    flow: Literal["relevance", "gradient", "difference"] = "relevance"
