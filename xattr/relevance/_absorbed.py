"""The ledger of relevance: what each operation takes in and does not pass on."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._targets import resolve_targets
from xattr._types import Images, Predictor, Score
from xattr.program import Composite, ruled
from xattr.relevance._composites import epsilon_plus
from xattr.relevance._start import attribute

DEFAULT = epsilon_plus()


@compiled
def absorbed(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    composite: Composite = DEFAULT,
    score: Score = logit,
) -> dict[str, Float[Array, " n"]]:
    """The relevance that biases, stabilizers and constants take in, by site.

    With the sum of `lrp`'s map they add up to where relevance started: the score, for
    the score of one logit.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      composite: which rule goes where.
      score: scalar being explained.

    Returns:
      For each operation with a rule, by the name of its site, what it absorbed.

    Raises:
      TypeError: as `lrp`.
      ValueError: as `lrp`.

    Example:
      >>> import jax.numpy as jnp
      >>> from xattr.relevance import epsilon
      >>> model = lambda x: x @ jnp.array([[1.0], [2.0]]) + 0.5
      >>> x = jnp.array([[3.0, 1.0]])
      >>> absorbed(model, x, jnp.array([0]), composite=epsilon())["add:0"].round(3)
      Array([0.5], dtype=float32)
    """
    targets = resolve_targets(model, images, targets)
    names = ruled(model, images[:1], composite).absorbing

    def one(row):
        image, target = jax.tree.map(lambda part: part[None], row)
        sinks = {name: jnp.zeros((), images.dtype) for name in names}
        return attribute(model, image, target, composite, score, sinks)[1]

    return jax.lax.map(one, (images, targets))
