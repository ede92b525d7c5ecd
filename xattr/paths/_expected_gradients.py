"""Expected gradients: integrated gradients averaged over a data set of baselines."""

import jax
from jaxtyping import Array, Inexact, PyTree

from xattr._chunking import sum_all
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import check_noise, fold, with_noise
from xattr._scores import gradient_of_score, logit
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import check_baselines


@compiled
def expected_gradients(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    baselines: Inexact[Array, "b ..."],
    num_samples: int = 200,
    stddev: float = 0.0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Images:
    r"""Share of the score's lead over a data set's mean score owed to each value.

    $$ a = \mathbb E_{b \sim D,\; t \sim U(0, 1)}
           \big[(x - b) \odot \nabla f(b + t (x - b))\big] $$

    estimated from $S$ = `num_samples` draws, $t_s = (s + u_s)/S$ with $u_s$ uniform.

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images.
      baselines: the data set $D$, drawn from with replacement: images of the same
        shape, in the same units.
      num_samples: $S$, gradients per image.
      stddev: noise added to the image in each draw, as a share of its own range of
        values (GradientSHAP); 0 for none.
      score: scalar being explained.
      chunk_size: gradients held in memory at once; chosen to fit when None.
      key: one key, or one per image.

    Returns:
      Signed contributions, whose sum over an image is, in expectation and without
      noise, $f(x)$ less the mean of $f$ over $D$.

    Raises:
      TypeError: if `baselines` is no array or `num_samples` no whole number.
      ValueError: if `key` is None, `baselines` differ in shape from the images or are
        none, `num_samples` < 1 or `stddev` < 0.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x.sum((1, 2, 3))[:, None] * jnp.array([[2.0, 5.0]])
      >>> x, data = jnp.array([[[[3.0], [4.0]]]]), jnp.ones((6, 1, 2, 1))
      >>> expected_gradients(
      ...     model, x, baselines=data, num_samples=8, key=jax.random.key(0)
      ... ).ravel()
      Array([10., 15.], dtype=float32)

    References:
      [erion2021improving], the definition of expected gradients.

    Notes:
      The paper draws $t$ independently. One draw from each of $S$ equal parts of [0, 1]
      has the same mean and a smaller variance.
    """
    check_noise(num_samples, stddev)
    check_baselines(images, baselines)
    rows = (
        images,
        resolve_targets(model, images, targets, chunk_size),
        per_image(key, images.shape[0]),
    )
    ones = [1] * (images.ndim - 1)

    def evaluate(rows, index):
        images, targets, keys = rows
        place, offset, own = jax.vmap(lambda key: _draw(key, baselines.shape[0]))(
            fold(keys, index)
        )
        start = baselines[place].astype(images.dtype)
        t = ((index + offset) / num_samples).astype(images.dtype).reshape(-1, *ones)
        way = with_noise(images, own, stddev) - start
        return way * gradient_of_score(model, start + t * way, targets, score)

    return sum_all(evaluate, rows, num=num_samples, chunk_size=chunk_size) / num_samples


def _draw(key: Keys, num_baselines: int) -> tuple[Array, Array, Keys]:
    """A baseline's place, a place within the part of [0, 1], and a key for noise."""
    keys = jax.random.split(key, 3)
    return (
        jax.random.randint(keys[0], (), 0, num_baselines),
        jax.random.uniform(keys[1]),
        keys[2],
    )
