"""Guided backpropagation: of the gradient, only what agrees that an entry matters."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.program import Composite, Where
from xattr.relevance._start import attribute


def _guided(operation, inputs, output, signal):
    """The gradient of what is positive."""
    del output
    _, pull_back = jax.vjp(operation.run, *inputs)
    return pull_back(jnp.maximum(signal, 0))


GUIDED = Composite(((Where(("relu", "rectifier")), _guided),), flow="gradient")


@compiled
def guided_backprop(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""The gradient, of which every rectifier passes on what is positive only.

    $$ s_{\mathrm{in}} = s\,[s > 0]\,[a > 0] $$

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      The signed signal, of the images' shape.

    Raises:
      TypeError: if `images` is no array or `model` no function of one.
      ValueError: if `images` is not floating point with a leading batch axis, or
        `targets` has not one row per image.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x) @ jnp.array([[1.0], [-1.0]])
      >>> guided_backprop(model, jnp.array([[2.0, 3.0]]), jnp.array([0]))
      Array([[1., 0.]], dtype=float32)

    References:
      [springenberg2015striving], section 3.4.

    Notes:
      Rectifiers are recognized by their values: `jax.nn.relu`, `jnp.maximum(x, 0)`,
      `x * (x > 0)`, `jnp.where`, and ReLU6, which the paper does not speak of. All
      other activations keep their derivative.
    """
    del key

    def evaluate(rows, _):
        images, targets = rows
        return attribute(model, images, targets, GUIDED, score)[0]

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]
