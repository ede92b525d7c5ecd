"""VarGrad: the variance of a map over noisy copies of the image."""

import functools
from typing import Any

import jax.numpy as jnp
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


def vargrad(method: Method, *, num_samples: int = 25, stddev: float = 0.15) -> Method:
    r"""How much a method's map varies over noisy copies of the image; never negative.

    $$ a = \tfrac1S \sum_s m(x + \epsilon_s)^2
           - \Big(\tfrac1S \sum_s m(x + \epsilon_s)\Big)^2 $$

    with the noise of `smoothgrad`.

    Args:
      method: any method $m$.
      num_samples: $S$, noisy copies per image.
      stddev: $\sigma$, the noise as a share of the image's own range of values.

    Returns:
      A method that needs `key=`; its maps are in squared units of the inner one's.

    Raises:
      TypeError: if `method` is no function, or has positional arguments bound.
      ValueError: if `num_samples` < 1 or `stddev` < 0.

    Example:
      >>> import jax, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None] * jnp.array([[2.0, 5.0]])
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> spread = vargrad(xattr.gradient, num_samples=4)
      >>> spread(model, x, jnp.array([1]), key=jax.random.key(0)).ravel()
      Array([0., 0.], dtype=float32)

    References:
      [adebayo2018local], section 2.

    Notes:
      Sums are of differences from the map of the clean image, so that a small variance
      about a large mean is not lost to rounding.
    """
    check_noise(num_samples, stddev)
    return Combined(
        _vargrad, method=bound(method), num_samples=num_samples, stddev=stddev
    )


@compiled
def _vargrad(
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
    """Variance over samples, from sums about the clean image's map."""
    rows = noise_rows(model, images, targets, key, chunk_size)
    maps = functools.partial(explain, method, model, chunk_size=chunk_size, **options)
    clean = maps(images, rows[1], key=rows[2])

    def evaluate(rows, index):
        noise_rows, clean = rows
        images, targets, keys = noisy(noise_rows, index, stddev)
        change = maps(images, targets, key=keys) - clean
        return change, change**2

    together = holds_arrays(method, options)
    sums = sum_samples(evaluate, (rows, clean), num_samples, chunk_size, together)
    mean, mean_square = (total / num_samples for total in sums)
    return jnp.maximum(mean_square - mean**2, 0)
