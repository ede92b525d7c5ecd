"""SmoothGrad: the mean of a map over noisy copies of the image."""

from typing import Any

from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._noise import check_noise
from xattr._types import Images, Keys, Method, Predictor
from xattr.combinators._bound import Combined, bound, explain
from xattr.combinators._noise import (
    holds_arrays,
    noise_rows,
    noisy,
    sum_samples,
)


def smoothgrad(
    method: Method, *, num_samples: int = 25, stddev: float = 0.15
) -> Method:
    r"""Mean of a method's maps over noisy copies of the image.

    $$ a = \tfrac1S \sum_{s=1}^{S} m(x + \epsilon_s), \qquad
       \epsilon_s \sim \mathcal N\big(0, \sigma^2 (\max x - \min x)^2\big) $$

    The class is the one predicted on the clean image; each sample has its own key.

    Args:
      method: any method $m$.
      num_samples: $S$, noisy copies per image.
      stddev: $\sigma$, the noise as a share of the image's own range of values; 0
        gives the inner method.

    Returns:
      A method that needs `key=` and returns maps as the inner one does.

    Raises:
      TypeError: if `method` is no function, or has positional arguments bound.
      ValueError: if `num_samples` < 1 or `stddev` < 0.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None] * jnp.array([[2.0, 5.0]])
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> smooth = smoothgrad(xattr.gradient, num_samples=4)
      >>> smooth(model, x, jnp.array([1]), key=jax.random.key(0)).ravel()
      Array([5., 5.], dtype=float32)

    References:
      [smilkov2017smoothgrad], section 3.

    Notes:
      PAIR's code averages the squared maps unless told otherwise; the paper, and this,
      average the maps.
    """
    check_noise(num_samples, stddev)
    return Combined(
        _smoothgrad, method=bound(method), num_samples=num_samples, stddev=stddev
    )


@compiled
def _smoothgrad(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    method: Method,
    num_samples: int,
    stddev: float,
    key: Keys | None = None,
    chunk_size: int | None = None,
    **options: Any,
) -> Images:
    """Mean over samples."""
    rows = noise_rows(model, images, targets, key, chunk_size)

    def evaluate(rows, index):
        images, targets, keys = noisy(rows, index, stddev)
        return explain(
            method, model, images, targets, key=keys, chunk_size=chunk_size, **options
        )

    together = holds_arrays(method, options)
    total = sum_samples(evaluate, rows, num_samples, chunk_size, together)
    return total / num_samples
