"""Data randomization: whether a map tells what was learnt from what was memorized."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._keys import per_image
from xattr._types import Images, Keys, Method, Predictor
from xattr.metrics._parameter_randomization import clean_targets
from xattr.metrics._similarity import Similarity, spearman


def data_randomization(
    method: Method,
    models: tuple[Predictor, Predictor],
    images: Images,
    targets: PyTree = None,
    *,
    similarity: Similarity = spearman,
    absolute: bool = False,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""Similarity of the maps of a model and of one trained on random labels.

    $$ \rho = \mathrm{similarity}\big(a(x; \theta), a(x; \theta')\big) $$

    with $\theta'$ fitted to the same images under permuted labels: it knows them by
    heart, and nothing of what is in them.

    Args:
      method: called as `method(model, images, targets, key=keys)`; hyperparameters are
        bound before, `functools.partial(xattr.grad_cam, site="relu:1")`.
      models: the model, and the one trained on random labels. Where they are of one
        structure (`xattr.from_function(apply, params)` with the same `apply`), one
        program serves both.
      images: images to explain, in the units that the models take.
      targets: what the method's score selects; when None, the classes that the first
        model predicts on the images.
      similarity: of two maps of each image: `spearman`, `pearson`, `cosine`, `ssim` or
        `hog_pearson`, or another function of two maps.
      absolute: compare absolute values, for which a change of sign is none.
      key: for a method that draws at random: one key, or one per image, the same for
        both models.

    Returns:
      One similarity per image; the lower, the better. Not a number where a map is not
      finite, or constant.

    Raises:
      ValueError: if `models` are not two.

    Example:
      >>> import xattr
      >>> models = tuple(
      ...     xattr.from_function(lambda w, x: x @ w, jnp.array(w))
      ...     for w in ([[1.0], [2.0]], [[2.0], [1.0]])
      ... )
      >>> data_randomization(xattr.gradient, models, jnp.ones((1, 2)))
      Array([-1.], dtype=float32)

    References:
      [adebayo2018sanity].
    """
    if len(models) != 2:
        raise ValueError(
            f"`models` holds {len(models)}; it must be the model, and the one trained "
            f"on random labels: `models=(trained, memorized)`."
        )
    targets = clean_targets(models[0], images, targets)
    keys = None if key is None else per_image(key, images.shape[0])
    maps = [method(model, images, targets, key=keys) for model in models]
    return similarity(*(jnp.abs(m) if absolute else m for m in maps))
