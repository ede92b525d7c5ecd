"""Random logit: whether a map changes with the class that it is asked for."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from xattr._keys import per_image
from xattr._types import Images, Keys, Method, Predictor
from xattr.metrics._parameter_randomization import APART, clean_targets
from xattr.metrics._similarity import Similarity, spearman


def random_logit(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    num_classes: int | None = None,
    similarity: Similarity = spearman,
    absolute: bool = False,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""Similarity of the map of the target with that of another class.

    $$ \rho = \mathrm{similarity}\big(a(x, c), a(x, c')\big), \qquad
       c' \sim U(\{1, \dots, k\} \setminus c) $$

    Args:
      method: called as `method(model, images, targets, key=keys)`; hyperparameters are
        bound before, `functools.partial(xattr.grad_cam, site="relu:1")`.
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: class indices; when None, the classes predicted on the images.
      num_classes: $k$, from how many classes the other one is drawn; when None, as many
        as the model has outputs.
      similarity: of two maps of each image: `spearman`, `pearson`, `cosine`, `ssim` or
        `hog_pearson`, or another function of two maps.
      absolute: compare absolute values, for which a change of sign is none.
      key: one key, or one per image. The other class of an image depends on its key
        alone, and the method gets the same keys for both maps.

    Returns:
      One similarity per image; the lower, the better: at 1, the map says nothing of the
      class. Not a number where a map is not finite, or constant.

    Raises:
      ValueError: if `key` is None, or there are less than two classes.

    Example:
      >>> import jax, xattr
      >>> model = lambda x: x @ jnp.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
      >>> random_logit(xattr.gradient, model, jnp.ones((1, 3)), key=jax.random.key(0))
      Array([-1.], dtype=float32)

    References:
      [sixt2020when]; [hedstrom2023quantus].

    Notes:
      Quantus draws the other class from a seed and the position in the batch, and
      compares by structural similarity of flattened maps unless told otherwise.
    """
    keys = per_image(key, images.shape[0])
    asked = clean_targets(model, images, targets)
    k = _num_outputs(model, images) if num_classes is None else num_classes
    if k < 2:
        raise ValueError(
            f"`num_classes`={k}: there is no other class to draw; it must be at least "
            f"2."
        )
    pair = (asked, _others(keys, asked, k))
    maps = [method(model, images, classes, key=keys) for classes in pair]
    return similarity(*(jnp.abs(m) if absolute else m for m in maps))


def _num_outputs(model: Predictor, images: Images) -> int:
    return jax.eval_shape(model, images).shape[-1]


def _others(keys: Keys, targets: Array, num_classes: int) -> Int[Array, " n"]:
    """A class that is not the target, for each image."""

    def step(key: Keys) -> Array:
        return jax.random.randint(jax.random.fold_in(key, APART), (), 1, num_classes)

    return (targets + jax.vmap(step)(keys)) % num_classes
