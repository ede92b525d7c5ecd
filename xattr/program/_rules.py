"""The same forward pass with other backward rules for chosen operations."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._model import Model
from xattr._types import Images, Predictor
from xattr.program._blocks import Blocks, find_blocks
from xattr.program._carrying import Block, run_block, stopped
from xattr.program._choice import check, choose, refuse_at_end
from xattr.program._composite import Composite, Operation, Reference, Rule, Value
from xattr.program._facts import Facts
from xattr.program._flat import SpelledOut, spelled_out
from xattr.program._layer import read_layer
from xattr.program._trace import run_equations, value_of


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
      >>> from xattr.program import Composite, Where
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
        check(composite, self._facts)
        self._rules = {
            block: choose(block, self._facts, composite) for block in self._facts.blocks
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
                refuse_at_end(block, facts)
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
