"""What a map says of its model: the axioms of attribution."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, PyTree

from xattr._model import Model
from xattr._scores import logit
from xattr._types import Images, Method, Predictor, Score
from xattr.testing._deviation import assert_small, largest


def assert_complete(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree,
    *,
    baseline: Inexact[Array, "..."] | float = 0.0,
    score: Score = logit,
    tolerance: float = 1e-3,
) -> None:
    """Attributions sum to the score's change from the baseline to the image.

    Args:
      method: the method under test.
      model: function from a batch of images to outputs.
      images: images to explain.
      targets: what `score` selects.
      baseline: the image that the method compares with.
      score: scalar being explained.
      tolerance: largest residual, relative to the larger of the two scores.

    Raises:
      AssertionError: if a residual is larger.

    Example:
      >>> import xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x, target = jnp.ones((2, 2, 2, 1)), jnp.array([0, 0])
      >>> assert_complete(xattr.input_x_gradient, model, x, target)

    References:
      [sundararajan2017axiomatic], proposition 1.
    """
    start = jnp.broadcast_to(jnp.asarray(baseline, images.dtype), images.shape)
    high, low = score(model(images), targets), score(model(start), targets)
    maps = method(model, images, targets)
    residual = maps.reshape(len(images), -1).sum(1) - (high - low)
    scale = jnp.maximum(jnp.abs(high), jnp.abs(low)).max()
    assert_small(residual / scale, tolerance, "sum of attributions")


def assert_ignores_dummy(
    method: Method,
    model: Predictor,
    images: Float[Array, "n h w c"],
    targets: PyTree,
    *,
    tolerance: float = 1e-6,
) -> None:
    """Pixels that the model never reads get nothing.

    The model is given images whose upper left quarter is blanked.

    Args:
      method: the method under test; returns `n h w c` or `n h w 1`.
      model: function from a batch of images to outputs.
      images: images to explain.
      targets: what the score selects.
      tolerance: largest attribution there, relative to the map's largest.

    Raises:
      AssertionError: if a larger one is found.

    Example:
      >>> import xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x, target = jnp.ones((2, 2, 2, 1)), jnp.array([0, 0])
      >>> assert_ignores_dummy(xattr.gradient, model, x, target)
    """
    h, w = images.shape[1:3]
    kept = np.ones((1, h, w, 1), images.dtype)
    kept[:, : h // 2, : w // 2] = 0
    maps = method(Model(_blanked, (model, jnp.asarray(kept))), images, targets)
    dummy = jnp.where(jnp.asarray(kept) == 0, maps, 0)
    assert_small(dummy / largest(maps), tolerance, "attribution of unread pixels")


def assert_linear(
    method: Method,
    models: tuple[Predictor, Predictor],
    images: Images,
    targets: PyTree,
    *,
    weights: tuple[float, float] = (2.0, -0.5),
    tolerance: float = 1e-4,
) -> None:
    """The map of a weighted sum of two models is the weighted sum of their maps.

    Args:
      method: the method under test.
      models: two models with outputs of one shape.
      images: images to explain.
      targets: what the score selects; the score must be linear in the outputs.
      weights: of the two models.
      tolerance: largest deviation, relative to the map's largest value.

    Raises:
      AssertionError: if a larger one is found.

    Example:
      >>> import xattr
      >>> double, square = lambda x: 2 * x, lambda x: x**2
      >>> assert_linear(
      ...     xattr.gradient, (double, square), jnp.ones((1, 3)), jnp.array([1])
      ... )

    References:
      [sundararajan2017axiomatic], section 2.
    """
    both = method(Model(_weighted, (models, jnp.array(weights))), images, targets)
    first, second = (method(model, images, targets) for model in models)
    expected = weights[0] * first + weights[1] * second
    assert_small(
        (both - expected) / largest(expected), tolerance, "map of a sum of models"
    )


def assert_symmetric(
    method: Method,
    model: Predictor,
    images: Float[Array, "n h w c"],
    targets: PyTree,
    *,
    tolerance: float = 1e-4,
) -> None:
    """Two pixels that play the same part and have the same value get the same.

    The model is made symmetric in the image's first and last pixel by averaging it over
    their exchange, and both are set to the same value.

    Args:
      method: the method under test; returns `n h w c` or `n h w 1`.
      model: function from a batch of images to outputs.
      images: images to explain.
      targets: what the score selects.
      tolerance: largest difference, relative to the map's largest value.

    Raises:
      AssertionError: if a larger one is found.

    Example:
      >>> import xattr
      >>> model = lambda x: (x**2).sum((1, 2, 3))[:, None]
      >>> x, target = jnp.ones((2, 2, 2, 1)), jnp.array([0, 0])
      >>> assert_symmetric(xattr.gradient, model, x, target)

    References:
      [sundararajan2017axiomatic], section 4.
    """
    images = images.at[:, -1, -1].set(images[:, 0, 0])
    maps = method(Model(_exchangeable, (model,)), images, targets)
    difference = (maps[:, 0, 0] - maps[:, -1, -1]) / largest(maps)
    assert_small(difference, tolerance, "difference of exchangeable pixels")


def assert_flip_equivariant(
    method: Method,
    model: Predictor,
    images: Float[Array, "n h w c"],
    targets: PyTree,
    *,
    tolerance: float = 1e-4,
) -> None:
    """Where a model sees everything mirrored, so does its map.

    Args:
      method: the method under test; returns `n h w c` or `n h w 1`.
      model: function from a batch of images to outputs.
      images: images to explain.
      targets: what the score selects.
      tolerance: largest deviation, relative to the map's largest value.

    Raises:
      AssertionError: if a larger one is found.

    Example:
      >>> import xattr
      >>> ramp = jnp.arange(3.0)[None, None, :, None]
      >>> model = lambda x: (x * ramp).sum((1, 2, 3))[:, None]
      >>> x, target = jnp.ones((1, 2, 3, 1)), jnp.array([0])
      >>> assert_flip_equivariant(xattr.gradient, model, x, target)
    """
    maps = method(model, images, targets)
    mirrored = method(Model(_mirrored, (model,)), images[:, :, ::-1], targets)
    difference = (mirrored[:, :, ::-1] - maps) / largest(maps)
    assert_small(difference, tolerance, "map of the mirrored model")


def _blanked(parts: tuple[Predictor, Array], images: Images) -> PyTree:
    model, kept = parts
    return model(images * kept)


def _weighted(parts: tuple[tuple[Predictor, ...], Array], images: Images) -> PyTree:
    models, weights = parts
    outputs = [model(images) for model in models]
    return jax.tree.map(
        lambda *each: sum(w * x for w, x in zip(weights, each, strict=True)), *outputs
    )


def _exchangeable(parts: tuple[Predictor], images: Images) -> PyTree:
    first, last = images[:, 0, 0], images[:, -1, -1]
    exchanged = images.at[:, 0, 0].set(last).at[:, -1, -1].set(first)
    outputs = [parts[0](each) for each in (images, exchanged)]
    return jax.tree.map(lambda a, b: (a + b) / 2, *outputs)


def _mirrored(parts: tuple[Predictor], images: Images) -> PyTree:
    return parts[0](images[:, :, ::-1])
