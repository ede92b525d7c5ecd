"""The gradient: how fast the score changes with each value of the image."""

from jaxtyping import PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import gradient_of_score, logit
from xattr._types import Images, Keys, Predictor, Score


@compiled
def gradient(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""How much the score would change per unit change of each value.

    $$ a = \nabla f(x) $$

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      The signed gradient, of the images' shape.

    Raises:
      TypeError: if `images` is no array or `model` no function of one.
      ValueError: if `images` is not floating point with a leading batch axis, or
        `targets` has not one row per image.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: jnp.stack([(x**2).sum((1, 2, 3)), x.sum((1, 2, 3))], -1)
      >>> gradient(model, jnp.array([[[[3.0], [4.0]]]]), jnp.array([0])).ravel()
      Array([6., 8.], dtype=float32)

    References:
      [simonyan2014deep], section 3.

    Notes:
      The paper takes the largest magnitude over the channels, that of
      `xattr.images.channel_max_abs`.
    """
    del key

    def evaluate(rows, _):
        images, targets = rows
        return gradient_of_score(model, images, targets, score)

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]
