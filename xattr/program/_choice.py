"""Which rule of a composite an operation has, and what has none."""

import jax

from xattr.program._carrying import Block
from xattr.program._composite import Composite, Operation, Rule, Value, Where
from xattr.program._facts import Facts


def check(composite: Composite, facts: Facts) -> None:
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


def choose(block: Block, facts: Facts, composite: Composite) -> Rule | None:
    """The rule of a block; None for JAX's own derivative."""
    if facts.is_hidden(block):
        raise ValueError(
            f"{block.name!r} is a loop or a branch, whose inside rules don't reach. "
            f"Write it without, or so that images don't enter it."
        )
    if composite.flow == "relevance" and block.kind == "softmax":
        refuse_at_end(block, facts)
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


def refuse_at_end(softmax: Block, facts: Facts) -> None:
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
