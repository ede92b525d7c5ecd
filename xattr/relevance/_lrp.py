"""Layer-wise relevance propagation: the score, handed down layer by layer."""

from jaxtyping import PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.program import Composite
from xattr.relevance._composites import epsilon_plus
from xattr.relevance._start import attribute

DEFAULT = epsilon_plus()


@compiled
def lrp(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    composite: Composite = DEFAULT,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""How much of the score each value of the image accounts for.

    $$ R_i = \sum_j \frac{x_i w_{ij}}{z_j} R_j, \quad
       R_{\mathrm{out}} = z \odot \frac{\partial f}{\partial z} $$

    with $w$ and $z$ replaced, layer by layer, as the composite's rules say. Batch norm
    is part of the layer before it.

    Args:
      model: function from a batch of images to outputs, logits rather than
        probabilities.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      composite: which rule goes where: `xattr.relevance.epsilon_plus()` and others, or
        your own.
      score: scalar being explained; the outputs times its derivative by them is where
        relevance starts.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Signed relevance of the images' shape. Its sum over an image is the score, but for
      what biases take in: `xattr.relevance.absorbed` says how much, and where.

    Raises:
      TypeError: if `images` is no array or `model` no function of one.
      ValueError: if `images` is not floating point with a leading batch axis, `targets`
        has not one row per image, or relevance reaches an operation without a rule,
        such as a softmax at the end.

    Example:
      >>> import jax.numpy as jnp
      >>> from xattr.relevance import epsilon
      >>> model = lambda x: x @ jnp.array([[1.0], [2.0], [-1.0]])
      >>> x = jnp.array([[3.0, 1.0, 1.0]])
      >>> lrp(model, x, jnp.array([0]), composite=epsilon()).round()
      Array([[ 3.,  2., -1.]], dtype=float32)

    References:
      [bach2015pixel], equations 58 and 60; [montavon2019layer] for the composites.

    Notes:
      A constant normalization of the pixels passes relevance on unchanged, as if the
      network took normalized images.
    """
    del key

    def evaluate(rows, _):
        images, targets = rows
        return attribute(model, images, targets, composite, score)[0]

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]
