"""Input times gradient: the linear part of the score at the image."""

from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.gradients._gradient import gradient


@compiled
def input_x_gradient(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""What each value would give to the score, were the model linear.

    $$ a = x \odot \nabla f(x) $$

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes; zero means "no
        evidence" in these units.
      targets: what `score` selects; the predicted classes when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Signed contributions. On a network that is piecewise linear without biases they
      sum to $f(x)$; biases keep their own share.

    Raises:
      TypeError: if `images` is no array or `model` no function of one.
      ValueError: if `images` is not floating point with a leading batch axis, or
        `targets` has not one row per image.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: jnp.stack([(x**2).sum((1, 2, 3)), x.sum((1, 2, 3))], -1)
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> input_x_gradient(model, x, jnp.array([0])).ravel()
      Array([18., 32.], dtype=float32)

    References:
      [shrikumar2016not], where it is compared with DeepLIFT.
    """
    del key
    return images * gradient(model, images, targets, score=score, chunk_size=chunk_size)
