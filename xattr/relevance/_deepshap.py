"""DeepSHAP: DeepLIFT averaged over a data set of references."""

import jax.numpy as jnp
from jaxtyping import Array, Inexact, PyTree

from xattr._chunking import sum_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import check_baselines
from xattr.relevance._differences import contributions


@compiled
def deepshap(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    baselines: Inexact[Array, "b ..."],
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""Share of the score's lead over a data set's mean score owed to each value.

    $$ a = \frac1B \sum_{b} \mathrm{DeepLIFT}(x, b) $$

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the classes predicted on the images when None.
      baselines: the data set, all of which is used: images of the same shape, in the
        same units.
      score: scalar being explained.
      chunk_size: pairs of an image and a baseline held in memory at once; chosen to fit
        when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      Signed contributions, whose sum over an image is $f(x)$ less the mean of $f$ over
      `baselines`.

    Raises:
      TypeError: if `baselines` is no array.
      ValueError: if `baselines` differ in shape from the images or are none; or as
        `deeplift`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x.sum(1, keepdims=True) - 1)
      >>> baselines = jnp.array([[0.0, 0.0], [1.0, 1.0]])
      >>> x = jnp.array([[1.0, 2.0]])
      >>> deepshap(model, x, jnp.array([0]), baselines=baselines).round(3)
      Array([[0.333, 1.167]], dtype=float32)

    References:
      [lundberg2017unified], section 4.2.

    Notes:
      Approximates Shapley values of the values of pixels, those of the baselines
      standing in for what is unknown.
    """
    del key
    check_baselines(images, baselines)
    rows = (images, resolve_targets(model, images, targets, chunk_size))
    baselines = baselines.astype(images.dtype)

    def evaluate(rows, index):
        images, targets = rows
        chosen = jnp.take(baselines, index, 0)
        return contributions(model, images, targets, chosen, score)

    num = baselines.shape[0]
    return sum_all(evaluate, rows, num=num, chunk_size=chunk_size) / num
