"""Invariance: do maps of two networks that compute the same agree?"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._keys import per_image
from xattr._model import Model
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Method, Predictor
from xattr.metrics._perturbed_maps import norm
from xattr.paths._baselines import Baseline, baselines_for


def input_invariance(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    shift: Baseline,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""How much a map changes where a constant is added to images and taken off again.

    With $A(f, x)$ the method's map, $t$ = `shift` and $f_t(x) = f(x - t)$, which says
    of $x + t$ what $f$ says of $x$:

    $$ \frac{\lVert A(f_t, x + t) - A(f, x) \rVert_2}{\lVert A(f, x) \rVert_2} $$

    Args:
      method: explanation method, its options bound by `functools.partial`.
      model: function from a batch of images to outputs.
      images: images to explain, `n h w c`, in the units that the model takes.
      targets: what the method's score selects; when None, the classes predicted on
        the images.
      shift: $t$, in the units of the images: a number, a color, or one image.
      key: one key, or one per image, the same for both maps; None for methods that do
        not draw.

    Returns:
      Share of the map's length, one per image: 0 is best; not a number for maps of
      zeros.

    Raises:
      ValueError: if `shift` does not broadcast to one image.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [4.0]]]])
      >>> input_invariance(xattr.gradient, model, x, shift=1.0)
      Array([0.], dtype=float32)
      >>> input_invariance(xattr.input_x_gradient, model, x, shift=5.0).round(3)
      Array([1.414], dtype=float32)

    References:
      [kindermans2019reliability], section 2.

    Notes:
      The paper takes the shift off in the biases of the first layer, and so does
      Quantus, which then says only whether all values agree within 1e-4. Here it is
      taken off the images themselves, for any model: maps of the input are the same,
      but a method that follows rules layer by layer meets a subtraction. A method with
      a baseline that is not shifted along has another one, and differs by that.
    """
    moved = _of_one_image(images, shift)
    targets = resolve_targets(model, images, targets)
    shifted = Model(_without_shift, (model, moved))
    options = _keys(images, key)
    return _relative_distance(
        method(model, images, targets, **options),
        method(shifted, images + moved, targets, **options),
    )


def implementation_invariance(
    method: Method,
    models: Sequence[Predictor],
    images: Images,
    targets: PyTree = None,
    *,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""How much maps of two models differ that have the same outputs for all images.

    With $A(f, x)$ the method's map and $f = g$ as functions:

    $$ \frac{\lVert A(g, x) - A(f, x) \rVert_2}{\lVert A(f, x) \rVert_2} $$

    Args:
      method: explanation method, its options bound by `functools.partial`.
      models: $f$ and $g$. That their outputs are the same is the caller's word: where
        they are not, the number says nothing of the method.
      images: images to explain, `n h w c`, in the units that the models take.
      targets: what the method's score selects; when None, the classes that the first
        model predicts on the images.
      key: one key, or one per image, the same for both maps; None for methods that do
        not draw.

    Returns:
      Share of the first map's length, one per image: 0 is best; not a number for maps
      of zeros.

    Raises:
      ValueError: if there are not two models.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> f = lambda x: x.sum((1, 2, 3))[:, None]
      >>> signs = jnp.array([[1.0, -1.0]])
      >>> g = lambda x: (jax.nn.relu(x @ signs) @ signs.T).sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [-4.0]]]])
      >>> implementation_invariance(xattr.gradient, (f, g), x)
      Array([0.], dtype=float32)
      >>> implementation_invariance(xattr.guided_backprop, (f, g), x).round(3)
      Array([0.707], dtype=float32)

    References:
      [sundararajan2017axiomatic], section 2.2.
    """
    if len(models) != 2:
        raise ValueError(
            f"`models` holds {len(models)}; it must be two models with the same "
            f"outputs: `models=(model, rewritten)`."
        )
    targets = resolve_targets(models[0], images, targets)
    options = _keys(images, key)
    return _relative_distance(
        *(method(model, images, targets, **options) for model in models)
    )


def _without_shift(params: Any, images: Images) -> PyTree:
    model, shift = params
    return model(images - shift)


def _of_one_image(images: Images, shift: Baseline) -> Images:
    """The shift with a leading axis of 1, that fits any batch."""
    several = baselines_for(images, shift)
    if several.shape[:2] != (1, 1):
        raise ValueError(
            f"`shift` has shape {jnp.shape(shift)} for images of shape "
            f"{images.shape}; it must be the same for all of them: a number, a color, "
            f"or one image: `shift=1.0`."
        )
    return several[0]


def _keys(images: Images, key: Keys | None) -> dict[str, Keys]:
    return {} if key is None else {"key": per_image(key, images.shape[0])}


def _relative_distance(one: Array, other: Array) -> Float[Array, " n"]:
    return norm(other - one) / norm(one)
