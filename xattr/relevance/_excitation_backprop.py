"""Excitation backprop: the chance to win, handed down from winner to winner."""

from jaxtyping import Array, Float, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.relevance._excitation import chances, composite

EXCITATION = composite()


@compiled
def excitation_backprop(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str | None = None,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ..."]:
    r"""The chance of each value to be reached from the target, winner by winner.

    From each unit $j$ that wins, one goes to a unit $i$ that it reads with a chance
    that grows with its activation $a_i$, through weights above zero alone:

    $$ p_i = \sum_j p_j \frac{a_i w_{ij}^+}{\sum_{i'} a_{i'} w_{i'j}^+} $$

    Biases have no part in it; batch norm is part of the layer before it. Sums and
    averages hand a chance down in proportion to what each part adds, a maximum to
    where it was.

    Args:
      model: function from a batch of images to outputs, logits rather than
        probabilities.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of an activation, whose units are told their
        chances; those of the images when None.
      axes: which axis of the site is which, as letters of `ndhwc?`; read from the model
        when None.
      score: its derivative by the outputs is where one starts: for `xattr.logit`, at
        the target with certainty.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Chances of the images' shape, or of the site's with the batch first and channels
      last, `n i j d`; never negative. They sum to one over an image, less what ends at
      units whom nothing excites. The published map is the sum over channels of a site:
      `xattr.images.channel_sum`.

    Raises:
      TypeError: if `images` is no array or `model` no function of one.
      ValueError: if `images` is not floating point with a leading batch axis, `targets`
        has not one row per image, the site is unknown, ambiguous, inside of a loop or
        of a layer, or an operation is reached that has no rule.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x @ jnp.array([[1.0], [-2.0], [3.0]])
      >>> excitation_backprop(model, jnp.array([[3.0, 5.0, 1.0]]), jnp.array([0]))
      Array([[0.5, 0. , 0.5]], dtype=float32)

    References:
      [zhang2016excitation].

    Notes:
      The paper asks for activations that are never negative. Of others, and of pixels
      after a normalization, the positive part counts, where TorchRay takes them with
      their sign, skip connections too. TorchRay hands chances through batch norm
      unchanged, which is the same but for negative scales, and through other
      activations than ReLU by their gradient, where here nothing is lost.
    """
    del key

    def evaluate(rows, _):
        images, targets = rows
        return chances(model, images, targets, EXCITATION, score, site, axes)

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]
