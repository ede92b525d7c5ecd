"""Deconvnet: the signal handed down through rectifiers of its own."""

import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.program import Composite, Where
from xattr.relevance._start import attribute


def _rectified(operation, inputs, output, signal):
    """What is positive, wherever the activation was."""
    del operation, inputs, output
    return (jnp.maximum(signal, 0),)


DECONVNET = Composite(((Where(("relu", "rectifier")), _rectified),), flow="gradient")


@compiled
def deconvnet(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""The gradient, with each rectifier's derivative replaced by a rectifier.

    $$ s_{\mathrm{in}} = s\,[s > 0] $$

    Layers are transposed, and a maximum's signal goes back to where the maximum was
    (its switch), as in a gradient.

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      score: scalar being explained. For one unit or channel of a site, explain a model
        that returns the site.
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
      >>> deconvnet(model, jnp.array([[-2.0, 3.0]]), jnp.array([0]))
      Array([[1., 0.]], dtype=float32)

    References:
      [zeiler2014visualizing], section 2.1; [simonyan2014deep], section 4, for what it
      has in common with the gradient.

    Notes:
      Which functions are rectifiers is told by their values, ReLU6 included.
    """
    del key

    def evaluate(rows, _):
        images, targets = rows
        return attribute(model, images, targets, DECONVNET, score)[0]

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]
