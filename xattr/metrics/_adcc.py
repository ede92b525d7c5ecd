"""ADCC: drop, coherency and complexity of an explanation as one number."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._compile import compiled
from xattr._keys import per_image
from xattr._scores import probability
from xattr._types import Images, Keys, Method, Predictor, Score
from xattr.metrics._masked import clean_and_seen, masked, share_lost, unit_masks
from xattr.metrics._parameter_randomization import clean_targets
from xattr.paths._baselines import Baseline


class Adcc(NamedTuple):
    """Three properties of an explanation and their harmonic mean.

    Attributes:
      value: the mean, in [0, 1]; larger is better.
      coherency: correlation with the explanation of what the map shows, moved to
        [0, 1]; larger is better.
      complexity: mean of the map, in [0, 1]; smaller is better.
      average_drop: share of the score that is lost; smaller is better.
    """

    value: Float[Array, " n"]
    coherency: Float[Array, " n"]
    complexity: Float[Array, " n"]
    average_drop: Float[Array, " n"]


def adcc(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    baseline: Baseline = 0.0,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Adcc:
    r"""Whether a map is small, keeps the score, and is its own explanation.

    With $m$ the map scaled to [0, 1], $m'$ that of the masked image
    $x' = m \odot x + (1 - m) \odot b$, and $r$ Pearson's correlation:

    $$ \mathrm{ADCC} = 3 \left( \frac{1}{C} + \frac{1}{1 - \bar m} +
       \frac{1}{1 - \mathrm{AD}} \right)^{-1}, \qquad
       C = \frac{1 + r(m, m')}{2}, \quad
       \mathrm{AD} = \frac{\max(0, f(x) - f(x'))}{f(x)} $$

    Args:
      method: the method, called as `method(model, images, targets, key=)`, with its
        hyperparameters bound by `functools.partial`. It returns one number per pixel:
        a method with a coarse grid or with channels needs `xattr.images.resize` or
        `xattr.images.channel_sum` around it.
      model: function from a batch of images to outputs.
      images: images that are explained, `n h w c`, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images,
        for both explanations.
      baseline: $b$, what stands where the map hides the image, in the units of the
        images: a number, a color, or images that broadcast to `images`.
      score: scalar that is watched; the published one is a probability.
      chunk_size: pairs of images held in memory at once; chosen to fit when None. The
        method has its own.
      key: one key, or one per image, for methods that draw at random; the same for
        both explanations of an image.

    Returns:
      `Adcc`, one number per image each. A constant map has no correlation: coherency
      and value are not a number then, nor where a map holds one that is none.

    Raises:
      ValueError: if the method does not return one number per pixel, or the baseline
        does not broadcast to the images.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> method = lambda model, x, targets, key: x
      >>> x = jnp.array([[[[1.0], [0.0], [0.0], [0.0]]]])
      >>> found = adcc(method, model, x, score=xattr.logit)
      >>> [round(float(number[0]), 3) for number in found]
      [0.9, 1.0, 0.25, 0.0]

    References:
      [poppi2021revisiting].

    Notes:
      The authors' code explains the masked image for the class that is given or
      predicted on the clean one, as here. pytorch-grad-cam has the first two terms
      (`Coherency`, `Complexity`) in a mean of its own, with ROAD in the place of the
      drop, and adds 1e-8 to the product of the deviations in $r$: 1/2 for a constant
      map. Maps are scaled inside here; their methods return them so.
    """
    keys = None if key is None else per_image(key, images.shape[0])
    targets = clean_targets(model, images, targets)
    maps = method(model, images, targets, key=keys)
    seen = jax.jit(_seen)(images, maps, baseline)
    again = method(model, seen, targets, key=keys)
    options = {"score": score, "chunk_size": chunk_size}
    return _combined(
        model, images, targets, maps=maps, seen=seen, again=again, **options
    )


def _seen(images: Images, maps: Array, baseline: Baseline) -> Images:
    return masked(images, unit_masks(maps, images), baseline)


@compiled
def _combined(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    maps: Array,
    seen: Images,
    again: Array,
    score: Score,
    chunk_size: int | None,
) -> Adcc:
    masks = unit_masks(maps, images)
    drop = share_lost(*clean_and_seen(model, images, seen, targets, score, chunk_size))
    coherency = (1 + _correlation(masks, unit_masks(again, images))) / 2
    complexity = masks.mean((1, 2))
    value = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))
    return Adcc(value, coherency, complexity, drop)


def _correlation(
    a: Float[Array, "n h w"], b: Float[Array, "n h w"]
) -> Float[Array, " n"]:
    a, b = (x - x.mean((1, 2), keepdims=True) for x in (a, b))
    product = jnp.sqrt((a * a).sum((1, 2))) * jnp.sqrt((b * b).sum((1, 2)))
    return (a * b).sum((1, 2)) / product
