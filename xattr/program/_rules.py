"""The same forward pass with other backward rules for chosen operations."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._model import Model
from xattr._types import Images, Predictor
from xattr.program._blocks import Block, Blocks, find_blocks
from xattr.program._layer import Layer, read_layer
from xattr.program._sites import read
from xattr.program._trace import (
    Program,
    is_literal,
    run_equation,
    run_equations,
    trace,
    value_of,
)

Value = Float[Array, "..."]


class Operation(NamedTuple):
    """What a rule may ask of the operation that it stands for.

    Attributes:
      kind: `conv`, `dense` (a product with weights), `attend` (a product with frozen
        weights), `relu`, `rectifier`, `activation`, `affine`, `norm`, `softmax`,
        `pool` (sums), `max_pool`, `sum`, `product`, `structural`, `unknown`.
      name: its site.
      run: from its inputs to its output; what is frozen is a constant of it.
      layer: the weights and biases of a `conv`, `dense` or `attend`; else None.
      nonnegative: whether its input is known to be nowhere negative.
      from_images: from images to its input, if what is between is affine and goes
        entry by entry; else None.
    """

    kind: str
    name: str
    run: Callable[..., Value]
    layer: Layer | None
    nonnegative: bool
    from_images: Callable[[Images], Value] | None


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
      frozen: operations, such as `softmax`, whose results are taken as constants.
      relevance: whether relevance is passed on, so that an operation without a rule is
        an error, or a gradient, in which it keeps its derivative.
    """

    rules: tuple[tuple[Where, Rule | None], ...]
    frozen: tuple[str, ...] = ()
    relevance: bool = True


# What only moves values passes relevance on as it does a gradient.
_MOVING = {"structural", "max_pool"}


def replace_rules(model: Predictor, composite: Composite) -> Model:
    """The same model, differentiated by other rules.

    Its outputs are those of the model, to the bit; `jax.vjp` of it gives what the
    rules pass on.

    Args:
      model: function from a batch of images to outputs.
      composite: which rule goes where.

    Raises:
      ValueError: when it is called, if relevance reaches an operation without a rule,
        or a place names no site.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def double(operation, inputs, output, relevance):
      ...     return (2 * relevance,)
      >>> composite = Composite(((Where(("relu",)), double),), relevance=False)
      >>> model = replace_rules(jax.nn.relu, composite)
      >>> jax.vjp(model, jnp.array([[-1.0, 3.0]]))[1](jnp.array([[1.0, 1.0]]))[0]
      Array([[2., 2.]], dtype=float32)
    """
    return Model(_Ruled(composite), model)


class _Ruled(NamedTuple):
    composite: Composite

    def __call__(self, model: Predictor, images: Images) -> PyTree:
        return ruled(model, images, self.composite).run(images, {})


class Ruled(NamedTuple):
    """A model whose operations have rules.

    Attributes:
      run: from images, and a zero for each name of `absorbing`, to the outputs. The
        derivative by a zero is the relevance that the operation took in and did not
        pass on.
      absorbing: names of the operations that have a rule.
    """

    run: Callable[[Images, dict[str, Value]], PyTree]
    absorbing: tuple[str, ...]


def ruled(model: Predictor, images: Images, composite: Composite) -> Ruled:
    """A model with rules, for batches of this shape and type."""
    program = trace(model, images)
    flat, shapes = jax.make_jaxpr(
        lambda x: program.run(x, evaluate=run_equation), return_shape=True
    )(images)
    tree = jax.tree.structure(shapes)
    reading = read(Program(flat, (), tree))
    equations = flat.jaxpr.eqns
    names = {
        equations[output.address[0]].outvars[output.place]: name
        for name, output in reading.outputs.items()
    }
    blocks = find_blocks(flat.jaxpr, names, frozenset(composite.frozen))
    order = {name: k for k, name in enumerate(reading.outputs)}
    facts = _Facts(flat.jaxpr, blocks)
    rules = {}
    for block in facts.blocks:
        rules[block] = _choose(block, facts, composite, order, reading)
    named = [block.name for block in facts.blocks if rules[block] is not None]

    def run(images: Images, sinks: dict[str, Value]) -> PyTree:
        (source,) = flat.jaxpr.invars
        values = dict(zip(flat.jaxpr.constvars, flat.consts, strict=True))
        values[source] = images
        for step in blocks.steps:
            if not isinstance(step, Block):
                run_equations([step], values, _stopped)
                continue
            inputs = tuple(values[v] for v in step.inputs)
            others = tuple(values[v] for v in step.others)
            rule = rules[step]
            if rule is None:
                results = _run(step, blocks.carries, inputs, others)
            else:
                sink = sinks.get(step.name, jnp.zeros((), inputs[0].dtype))
                chain = facts.chain(step)
                between = tuple(tuple(values[v] for v in b.others) for b in chain or ())
                call = _with_rule(step, rule, facts, blocks.carries)
                results = call(inputs, others, between, sink)
            values.update(zip(step.outputs, results, strict=True))
        outputs = [value_of(atom, values) for atom in flat.jaxpr.outvars]
        return jax.tree.unflatten(tree, outputs)

    return Ruled(run, tuple(named))


def _stopped(equation: Any, operands: Sequence[Any]) -> list[Any]:
    """What carries no relevance, or is taken as a constant."""
    return jax.lax.stop_gradient(run_equation(equation, operands))


def _run(
    block: Block,
    carries: frozenset[Any],
    inputs: Sequence[Value],
    others: Sequence[Any],
) -> list[Value]:
    """A block's outputs."""
    variables = (*block.inputs, *block.others)
    values = dict(zip(variables, (*inputs, *others), strict=True))
    for equation in block.equations:
        kept = any(v in carries for v in equation.outvars)
        run_equations([equation], values, run_equation if kept else _stopped)
    return [values[v] for v in block.outputs]


def _with_rule(
    block: Block, rule: Rule, facts: "_Facts", carries: frozenset[Any]
) -> Callable[..., Any]:
    """A block, as a function whose derivative is a rule."""

    @jax.custom_vjp
    def call(inputs: Any, others: Any, between: Any, sink: Any) -> Any:
        return _run(block, carries, inputs, others)

    def forward(inputs: Any, others: Any, between: Any, sink: Any) -> Any:
        outputs = _run(block, carries, inputs, others)
        return outputs, (inputs, others, between, outputs)

    def backward(kept: Any, relevance: Any) -> Any:
        inputs, others, between, (output,) = kept
        operation = facts.operation(block, carries, others, between)
        passed = tuple(rule(operation, inputs, output, relevance[0]))
        absorbed = relevance[0].sum() - sum(part.sum() for part in passed)
        return passed, None, None, absorbed.astype(inputs[0].dtype)

    call.defvjp(forward, backward)
    return call


class _Facts:
    """What places and rules may ask of blocks."""

    def __init__(self, jaxpr: Any, blocks: Blocks) -> None:
        (self.images,) = jaxpr.invars
        self.blocks = [step for step in blocks.steps if isinstance(step, Block)]
        self.producers = {v: block for block in self.blocks for v in block.outputs}
        self.results = {v for v in jaxpr.outvars if not is_literal(v)}
        self.below = self._reached(self.blocks, lambda b: (b.inputs, b.outputs))
        reverse = self.blocks[::-1]
        self.above = self._reached(reverse, lambda b: (b.outputs, b.inputs))
        self.nonnegative: set[Any] = set()
        for block in self.blocks:
            if _is_nonnegative(block, self.nonnegative):
                self.nonnegative.update(block.outputs)

    @staticmethod
    def _reached(blocks: Iterable[Block], ends: Callable[[Block], Any]) -> set[Any]:
        """Values with a layer with weights on one side of them."""
        reached: set[Any] = set()
        for block in blocks:
            near, far = ends(block)
            if block.kind in ("conv", "dense") or any(v in reached for v in near):
                reached.update(far)
        return reached

    def first(self, block: Block) -> bool:
        return not any(v in self.below for v in block.inputs)

    def last(self, block: Block) -> bool:
        return not any(v in self.above for v in block.outputs)

    def chain(self, block: Block) -> list[Block] | None:
        """The blocks between the images and a block, if they go entry by entry."""
        found: list[Block] = []
        value = block.inputs[0]
        while value is not self.images:
            before = self.producers[value]
            plain = before.kind == "affine" and len(before.equations) == 1
            if not plain or len(before.inputs) > 1:
                return None
            found.insert(0, before)
            value = before.inputs[0]
        return found

    def operation(
        self, block: Block, carries: frozenset[Any], others: Any, between: Any
    ) -> Operation:
        """A block as its rule sees it."""
        chain = self.chain(block)

        def run(*inputs: Value) -> Value:
            return _run(block, carries, inputs, others)[0]

        def from_images(images: Images) -> Value:
            value = images
            for before, read_by in zip(chain or (), between, strict=True):
                (value,) = _run(before, carries, (value,), read_by)
            return value

        return Operation(
            block.kind,
            block.name,
            run,
            read_layer(block, others) if block.core is not None else None,
            all(v in self.nonnegative for v in block.inputs),
            None if chain is None else from_images,
        )


def _is_nonnegative(block: Block, known: set[Any]) -> bool:
    if block.kind in ("relu", "rectifier"):
        return True
    if block.kind == "softmax":
        return not any("log" in name for name in block.names)
    if block.kind in ("pool", "max_pool", "structural", "sum"):
        names = {equation.primitive.name for equation in block.equations}
        return not names & {"sub"} and all(v in known for v in block.inputs)
    if block.kind == "affine" and len(block.equations) == 1:
        (equation,) = block.equations
        constants = [a for a in equation.invars if is_literal(a)]
        factors = [float(a.val) for a in constants if not a.aval.shape]
        scales = equation.primitive.name in ("mul", "div") and len(factors) == 1
        return scales and factors[0] >= 0 and block.inputs[0] in known
    return False


def _choose(
    block: Block,
    facts: _Facts,
    composite: Composite,
    order: dict[str, int],
    reading: Any,
) -> Rule | None:
    """The rule of a block; None for JAX's own derivative."""
    for where, rule in composite.rules:
        if _fits(block, where, facts, order, reading):
            return rule
    if not composite.relevance or block.kind in _MOVING:
        return None
    if block.kind == "softmax" and any(v in facts.results for v in block.outputs):
        before = facts.producers.get(block.inputs[0])
        name = before.name if before is not None else "its input"
        raise ValueError(
            f"the model ends in a softmax, {block.name!r}, which passes no relevance "
            f"on. Relevance starts at the logits, `site`={name!r}: give a model that "
            f"returns them."
        )
    raise ValueError(
        f"relevance reaches {block.name!r}, an operation of the kind {block.kind!r} "
        f"({', '.join(e.primitive.name for e in block.equations)}), for which the "
        f"composite has no rule. Give it one: "
        f"`composite._replace(rules=((Where(({block.kind!r},)), rule), "
        f"*composite.rules))`."
    )


def _fits(
    block: Block, where: Where, facts: _Facts, order: dict[str, int], reading: Any
) -> bool:
    """Whether a block is at a place."""
    if where.kinds and block.kind not in where.kinds:
        return False
    if where.first is not None and where.first != facts.first(block):
        return False
    if where.last is not None and where.last != facts.last(block):
        return False
    if where.path is not None:
        inside = f"{where.path}/"
        if not any(n == where.path or n.startswith(inside) for n in block.names):
            return False
    position = max((order[n] for n in block.names), default=-1)
    if where.before is not None:
        if position > order[reading.select(where.before).name]:
            return False
    if where.after is not None:
        if position <= order[reading.select(where.after).name]:
            return False
    return True
