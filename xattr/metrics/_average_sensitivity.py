"""Average sensitivity: how far a map moves when its image hardly changes."""

from jaxtyping import Array, Float, PyTree

from xattr._checks import check_count, check_positive
from xattr._types import Images, Keys, Method, Predictor
from xattr.metrics._perturbed_maps import (
    change,
    over_samples,
    relative_change,
    uniform,
)


def average_sensitivity(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    radius: float = 0.02,
    num_samples: int = 10,
    relative: bool = True,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""Mean change of a method's map under small changes of the image.

    With $\epsilon_s$ uniform in $[-r, r]$ at every pixel and channel:

    $$ \frac1S \sum_{s=1}^{S} \frac{\|m(x + \epsilon_s) - m(x)\|_2}{\|m(x)\|_2} $$

    Args:
      method: the method $m$, its hyperparameters bound by `functools.partial`.
      model: function from a batch of images to outputs.
      images: images to explain, `n h w c`, in the units that the model takes.
      targets: what the method's score selects; when None, the classes predicted on
        the images, which stay the same for the changed ones.
      radius: $r$, in the units of the images.
      num_samples: $S$, changed images.
      relative: whether to divide by the length of the map, where it is not 0.
      key: one key, or one per image. Each image's noise depends on its key alone, and
        its maps are all made with that key.

    Returns:
      A number of at least 0; smaller is more stable.

    Raises:
      TypeError: if `method` is no function, or `num_samples` no whole number.
      ValueError: if `key` is None, `num_samples` < 1, or `radius` is not positive.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> model = lambda x: 3 * x.sum((1, 2, 3))[:, None]
      >>> x = jnp.ones((1, 2, 2, 1))
      >>> average_sensitivity(xattr.gradient, model, x, key=jax.random.key(0))
      Array([0.], dtype=float32)

    References:
      [bhatt2020evaluating], [yeh2019fidelity].

    Notes:
      Quantus, whose formula this is, draws 200 samples with a radius of 0.2; the
      defaults here are those of `max_sensitivity`, with the same noise.
    """
    check_count("num_samples", num_samples)
    check_positive("radius", radius, 0.02)
    return over_samples(
        method,
        model,
        images,
        targets,
        draw=uniform,
        scale=radius,
        measure=relative_change if relative else change,
        num_samples=num_samples,
        key=key,
    ).mean(1)
