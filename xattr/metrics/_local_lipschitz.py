"""Local Lipschitz estimate: how fast a map changes with its image."""

import jax
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_count, check_positive
from xattr._types import Images, Keys, Method, Predictor
from xattr.metrics._perturbed_maps import gaussian, norm, over_samples


def local_lipschitz(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    stddev: float = 0.1,
    num_samples: int = 200,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""Largest change of a method's map per change of the image, near the image.

    With $\epsilon_s$ normal, of standard deviation `stddev`:

    $$ \max_{s} \frac{\|m(x + \epsilon_s) - m(x)\|_2}{\|\epsilon_s\|_2} $$

    Args:
      method: the method $m$, its hyperparameters bound by `functools.partial`.
      model: function from a batch of images to outputs.
      images: images to explain, `n h w c`, in the units that the model takes.
      targets: what the method's score selects; when None, the classes predicted on
        the images, which stay the same for the changed ones.
      stddev: of the noise, in the units of the images.
      num_samples: changed images; the result grows with their number.
      key: one key, or one per image. Each image's noise depends on its key alone, and
        its maps are all made with that key.

    Returns:
      A number of at least 0, in units of the map per unit of the images; smaller is
      more stable. A lower bound of the map's Lipschitz constant there.

    Raises:
      TypeError: if `method` is no function, or `num_samples` no whole number.
      ValueError: if `key` is None, `num_samples` < 1, or `stddev` is not positive.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> model = lambda x: (x**2).sum((1, 2, 3))[:, None]
      >>> x = jnp.zeros((1, 2, 2, 1))
      >>> options = dict(num_samples=3, key=jax.random.key(0))
      >>> local_lipschitz(xattr.gradient, model, x, **options).round(4)
      Array([2.], dtype=float32)

    References:
      [alvarezmelis2018robustness].

    Notes:
      The paper searches the ball around the image for the largest ratio by Bayesian
      optimization; Quantus draws at random, as here. Unless `normalise=False`, Quantus
      divides maps by the largest magnitude of their batch first: in batches of one
      image, that is this number for a method that does so.
    """
    check_count("num_samples", num_samples)
    check_positive("stddev", stddev, 0.1)
    return over_samples(
        method,
        model,
        images,
        targets,
        draw=gaussian,
        scale=stddev,
        measure=_slope,
        num_samples=num_samples,
        key=key,
    ).max(1)


@jax.jit
def _slope(maps: Images, changed: Images, noise: Images) -> Float[Array, " n"]:
    return norm(changed - maps) / norm(noise)
