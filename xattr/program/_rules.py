"""The same forward pass with other backward rules for chosen operations."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._model import Model
from xattr._types import Images, Predictor
from xattr.program._blocks import Blocks, find_blocks
from xattr.program._carrying import Block, run_block, stopped
from xattr.program._facts import Facts
from xattr.program._flat import SpelledOut, spelled_out
from xattr.program._layer import Layer, read_layer
from xattr.program._trace import run_equations, value_of

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


def replace_rules(
    model: Predictor, composite: Composite, baseline: Images | None = None
) -> Model:
    """The same model, differentiated by other rules.

    Its outputs are those of the model, to the bit; `jax.vjp` of it gives what the
    rules pass on.

    Args:
      model: function from a batch of images to outputs.
      composite: which rule goes where.
      baseline: what the images are compared with, of their shape, for a composite whose
        flow is `difference`.

    Raises:
      ValueError: when it is called, if relevance reaches an operation without a rule,
        or a place names no site.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def double(operation, inputs, output, signal):
      ...     return (2 * signal,)
      >>> composite = Composite(((Where(("relu",)), double),), flow="gradient")
      >>> model = replace_rules(jax.nn.relu, composite)
      >>> jax.vjp(model, jnp.array([[-1.0, 3.0]]))[1](jnp.array([[1.0, 1.0]]))[0]
      Array([[2., 2.]], dtype=float32)
    """
    return Model(_Ruled(composite), (model, baseline))


class _Ruled(NamedTuple):
    composite: Composite

    def __call__(self, params: Any, images: Images) -> PyTree:
        model, baseline = params
        return ruled(model, images, self.composite).run(images, baseline=baseline)


class Ruled:
    """A model whose operations have rules, for batches of one shape and type.

    Attributes:
      absorbing: names of the operations that have a rule.
      shapes: of the values whose relevance may be asked for, by the names of their
        sites.
    """

    def __init__(
        self, spelled: SpelledOut, blocks: Blocks, composite: Composite
    ) -> None:
        """Choose the rule of each block."""
        self._spelled, self._blocks = spelled, blocks
        self._facts = Facts(spelled, blocks)
        self._differences = composite.flow == "difference"
        _check(composite, self._facts)
        self._rules = {
            block: _choose(block, self._facts, composite)
            for block in self._facts.blocks
        }
        self.absorbing = tuple(
            block.name for block, rule in self._rules.items() if rule is not None
        )
        self._tappable = {
            spelled.names[v]: v
            for block in self._facts.blocks
            for v in block.outputs
            if v in spelled.names
        }
        self.shapes = {
            name: jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype)
            for name, v in self._tappable.items()
        }

    def run(
        self,
        images: Images,
        sinks: Mapping[str, Value] | None = None,
        taps: Mapping[str, Value] | None = None,
        baseline: Images | None = None,
    ) -> PyTree:
        """The model's outputs.

        Args:
          images: the batch.
          sinks: a zero for names of `absorbing`. The derivative by it is the relevance
            that the operation took in and did not pass on.
          taps: zeros for names of `shapes`. The derivative by them is the relevance of
            that site.
          baseline: what differences are taken from.
        """
        sinks, taps = sinks or {}, taps or {}
        jaxpr = self._spelled.program.jaxpr
        constants = zip(jaxpr.constvars, self._spelled.program.consts, strict=True)
        values = {**dict(constants), jaxpr.invars[0]: images}
        references = self._reference(values, baseline)
        tapped = {self._tappable[name]: tap for name, tap in taps.items()}
        for step in self._blocks.steps:
            if not isinstance(step, Block):
                run_equations([step], values, stopped)
                continue
            values.update(self._results(step, values, references, sinks))
            for variable in step.outputs:
                if variable in tapped:
                    values[variable] = _tap(values[variable], tapped[variable])
        outputs = [value_of(atom, values) for atom in jaxpr.outvars]
        return jax.tree.unflatten(self._spelled.outputs, outputs)

    def _reference(
        self, values: Mapping[Any, Any], baseline: Images | None
    ) -> Mapping[Any, Any] | None:
        """All values for the baseline."""
        if (baseline is not None) != self._differences:
            raise ValueError(
                "a `baseline` and a composite whose flow is 'difference' go together: "
                "`replace_rules(model, composite, baseline)`."
            )
        if baseline is None:
            return None
        jaxpr = self._spelled.program.jaxpr
        others = {**values, jaxpr.invars[0]: jax.lax.stop_gradient(baseline)}
        run_equations(jaxpr.eqns, others)
        return others

    def _results(
        self,
        block: Block,
        values: Mapping[Any, Any],
        references: Mapping[Any, Any] | None,
        sinks: Mapping[str, Value],
    ) -> dict[Any, Any]:
        """A block's outputs, differentiated by its rule."""
        rule, carries = self._rules[block], self._blocks.carrying.live
        inputs = tuple(values[v] for v in block.inputs)
        others = tuple(values[v] for v in block.others)
        if rule is None:
            results = run_block(block, carries, inputs, others)
        else:
            chain = self._facts.chain(block) or ()
            between = tuple(tuple(values[v] for v in b.others) for b in chain)
            reference = None
            if references is not None:
                before = tuple(references[v] for v in block.inputs)
                reference = Reference(before, references[block.outputs[0]])
            sink = sinks.get(block.name, jnp.zeros((), inputs[0].dtype))
            call = _with_rule(block, rule, self._facts, carries)
            results = call(inputs, others, (between, reference), sink)
        return dict(zip(block.outputs, results, strict=True))


def ruled(model: Predictor, images: Images, composite: Composite) -> Ruled:
    """A model with rules, for batches of this shape and type."""
    differences = composite.flow == "difference"
    spelled = spelled_out(
        model,
        images,
        derivatives=composite.flow == "gradient",
        stops=not differences,
    )
    if composite.flow == "relevance" and composite.frozen:
        # What is frozen is no block, but a softmax at the end is to be named.
        facts = Facts(spelled, find_blocks(spelled.program.jaxpr, spelled.names))
        for block in facts.blocks:
            if block.kind == "softmax":
                _refuse_at_end(block, facts)
    blocks = find_blocks(
        spelled.program.jaxpr,
        spelled.names,
        frozenset(composite.frozen),
        differences=differences,
    )
    return Ruled(spelled, blocks, composite)


@jax.custom_vjp
def _tap(value: Value, zeros: Value) -> Value:
    """The value; what comes back goes to the zeros, too."""
    del zeros
    return value


_tap.defvjp(lambda value, zeros: (value, None), lambda _, signal: (signal, signal))


def _with_rule(
    block: Block, rule: Rule, facts: Facts, carries: set[Any]
) -> Callable[..., Any]:
    """A block, as a function whose derivative is a rule."""

    @jax.custom_vjp
    def call(inputs: Any, others: Any, known: Any, sink: Any) -> Any:
        return run_block(block, carries, inputs, others)

    def forward(inputs: Any, others: Any, known: Any, sink: Any) -> Any:
        outputs = run_block(block, carries, inputs, others)
        return outputs, (inputs, others, known, outputs)

    def backward(kept: Any, relevance: Any) -> Any:
        inputs, others, known, (output,) = kept
        operation = _operation(block, facts, carries, others, *known)
        passed = rule(operation, inputs, output, relevance[0])
        # Where a norm computes in single precision what it reads in half.
        passed = tuple(
            part.astype(x.dtype) for part, x in zip(passed, inputs, strict=True)
        )
        absorbed = relevance[0].sum() - sum(part.sum() for part in passed)
        return passed, None, None, absorbed.astype(inputs[0].dtype)

    call.defvjp(forward, backward)
    return call


def _operation(
    block: Block,
    facts: Facts,
    carries: set[Any],
    others: Any,
    between: Any,
    reference: Reference | None,
) -> Operation:
    """A block as its rule sees it."""
    chain = facts.chain(block)

    def run(*inputs: Value) -> Value:
        return run_block(block, carries, inputs, others)[0]

    def from_images(pixel: float) -> Value:
        value = jnp.full(facts.images.aval.shape, pixel, facts.images.aval.dtype)
        for before, read_by in zip(chain or (), between, strict=True):
            (value,) = run_block(before, carries, (value,), read_by)
        return value

    return Operation(
        block.kind,
        block.name,
        run,
        read_layer(block, others) if block.core is not None else None,
        all(v in facts.nonnegative for v in block.inputs),
        None if chain is None else from_images,
        reference,
    )


def _check(composite: Composite, facts: Facts) -> None:
    """Raise if nothing would come of a composite."""
    for where, _ in composite.rules:
        if where.path is not None and not facts.is_module(where.path):
            raise ValueError(
                f"`path`={where.path!r} is no module of this model that images go "
                f"through. `xattr.sites(model, images)` names them: a site is "
                f"'module/operation:index'."
            )
    if composite.flow != "gradient" and facts.is_cut_off():
        raise ValueError(
            "the outputs depend on the images only by way of what has no derivative, "
            "such as `argmax`, `stop_gradient` or what the composite freezes: no "
            "relevance reaches the images."
        )


# What only moves values passes relevance on as it does a gradient.
_MOVING = {"structural", "maximum", "minimum"}
_LINEAR = {"conv", "dense", "affine", "structural", "pool", "sum"}


def _choose(block: Block, facts: Facts, composite: Composite) -> Rule | None:
    """The rule of a block; None for JAX's own derivative."""
    if facts.is_hidden(block):
        raise ValueError(
            f"{block.name!r} is a loop or a branch, whose inside rules don't reach. "
            f"Write it without, or so that images don't enter it."
        )
    if composite.flow == "relevance" and block.kind == "softmax":
        _refuse_at_end(block, facts)
    several = len(block.outputs) > 1
    for where, rule in composite.rules:
        if not (several and block.kind in _MOVING) and _fits(block, where, facts):
            return _checked(block, rule)
    if composite.flow == "gradient":
        return None
    if composite.flow == "difference":
        if facts.frozen(block):
            raise ValueError(
                f"{block.name!r} depends on a choice among values (`where`, `argmax`, "
                f"`sort`), which has no difference to share out."
            )
        if block.kind in _LINEAR:
            return None
    elif block.kind in _MOVING:
        return _move if facts.loses(block) and not several else None
    raise ValueError(
        f"relevance reaches {block.name!r}, an operation of the kind {block.kind!r} "
        f"({', '.join(e.primitive.name for e in block.equations)}), for which the "
        f"composite has no rule. Give it one: "
        f"`composite._replace(rules=((Where(({block.kind!r},)), rule), "
        f"*composite.rules))`."
    )


def _refuse_at_end(softmax: Block, facts: Facts) -> None:
    """Raise where probabilities are outputs, and logits are none."""
    (logits,) = softmax.inputs
    if logits in facts.results or not facts.ends(softmax.outputs[0]):
        return
    before = facts.producers.get(logits)
    name = before.name if before is not None else "its input"
    raise ValueError(
        f"the model ends in a softmax, {softmax.name!r}, which says nothing of the "
        f"relevance of its inputs. Relevance starts at the logits, {name!r}: give a "
        f"model that returns them, such as `xattr.at_site(model, {name!r})`."
    )


def _move(
    operation: Operation, inputs: tuple[Value, ...], output: Value, relevance: Value
) -> tuple[Value, ...]:
    """Relevance to where values came from; what was constant absorbs its own."""
    del output
    return jax.vjp(operation.run, *inputs)[1](relevance)


def _checked(block: Block, rule: Rule | None) -> Rule | None:
    if rule is not None and len(block.outputs) > 1:
        raise ValueError(
            f"{block.name!r} has {len(block.outputs)} results; a rule is for one."
        )
    return rule


def _fits(block: Block, where: Where, facts: Facts) -> bool:
    """Whether a block is at a place."""
    return (
        (not where.kinds or block.kind in where.kinds)
        and (where.first is None or where.first == facts.first(block))
        and (where.last is None or where.last == facts.last(block))
        and (where.path is None or facts.inside(block, where.path))
        and (where.before is None or not facts.above(block, where.before))
        and (where.after is None or facts.above(block, where.after))
    )
