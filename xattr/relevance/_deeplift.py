"""DeepLIFT: the score's difference from a reference, shared out layer by layer."""

from jaxtyping import PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline, one_baseline
from xattr.relevance._differences import contributions


@compiled
def deeplift(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    baseline: Baseline | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""Share of the score's change from `baseline` to the image owed to each value.

    A gradient in which the derivative of each activation is its slope between the two
    points that image and baseline give (the rescale rule):

    $$ a_i = (x_i - b_i) \, m_i, \quad
       m_{\mathrm{in}} = m \, \frac{g(u) - g(u^0)}{u - u^0} $$

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the classes predicted on the images when None.
      baseline: what means "no evidence", in the units of the images: a number, a
        color, or images that broadcast to `images`. Zeros when None.
      score: scalar being explained. It is part of what is shared out, so that maps sum
        to its change even where it is not linear.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Signed contributions, whose sum over an image is $f(x) - f(b)$.

    Raises:
      TypeError: if `baseline` is neither a number nor an array.
      ValueError: if `baseline` does not broadcast to `images` or is several, or the
        model makes a choice among values, by `argmax`, `sort` or `where`, which no
        rule is known for.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x.sum(1, keepdims=True) - 2)
      >>> deeplift(model, jnp.array([[1.0, 3.0]]), jnp.array([0]))
      Array([[0.5, 1.5]], dtype=float32)

    References:
      [shrikumar2017learning], eq. 4 to 6, 10 and 11.

    Notes:
      A product's difference is split between both orders of changing its factors; of a
      maximum, the contribution goes
      where the higher of both maxima was, as in captum, but also where windows overlap.
      Softmaxes, norms and attention are what they are made of, and
      `stop_gradient` stops nothing. The RevealCancel rule is not here.
    """
    del key
    rows = (
        images,
        resolve_targets(model, images, targets, chunk_size),
        one_baseline(images, baseline),
    )

    def evaluate(rows, _):
        images, targets, baselines = rows
        return contributions(model, images, targets, baselines, score)

    return evaluate_all(evaluate, rows, chunk_size=chunk_size)[:, 0]
