"""What a map depends on: neither batch, nor chunk, nor compilation."""

import jax
from jaxtyping import PyTree

from xattr._types import Images, Keys, Method, Predictor
from xattr.testing._deviation import assert_small, largest


def assert_batch_independent(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree,
    *,
    keys: Keys | None = None,
    tolerance: float = 1e-5,
) -> None:
    """A batch of images gives what each of them gives alone.

    Args:
      method: the method under test.
      model: function from a batch of images to outputs.
      images: images to explain, at least two.
      targets: what the score selects; None for the predicted classes.
      keys: one key per image, for methods that draw at random.
      tolerance: largest deviation, relative to the map's largest value.

    Raises:
      AssertionError: if a larger one is found.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> assert_batch_independent(xattr.gradient, jnp.sin, jnp.ones((2, 3)), None)
    """
    together = method(model, images, targets, key=keys)
    for i in range(len(images)):
        row = slice(i, i + 1)
        target = jax.tree.map(lambda t: t[row], targets)  # noqa: B023
        key = None if keys is None else keys[row]
        alone = method(model, images[row], target, key=key)
        difference = (together[row] - alone) / largest(alone)
        assert_small(difference, tolerance, f"map of image {i} in a batch")


def assert_chunk_independent(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree,
    *,
    key: Keys | None = None,
    chunk_sizes: tuple[int, ...] = (1, 3),
    tolerance: float = 1e-5,
) -> None:
    """The size of a chunk changes nothing beyond rounding.

    Args:
      method: the method under test.
      model: function from a batch of images to outputs.
      images: images to explain.
      targets: what the score selects; None for the predicted classes.
      key: for methods that draw at random.
      chunk_sizes: sizes to compare with the default.
      tolerance: largest deviation, relative to the map's largest value.

    Raises:
      AssertionError: if a larger one is found.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> assert_chunk_independent(xattr.gradient, jnp.sin, jnp.ones((4, 3)), None)
    """
    expected = method(model, images, targets, key=key)
    for size in chunk_sizes:
        chunked = method(model, images, targets, key=key, chunk_size=size)
        difference = (chunked - expected) / largest(expected)
        assert_small(difference, tolerance, f"map in chunks of {size}")


def assert_same_under_jit(
    method: Method,
    model: Predictor,
    images: Images,
    targets: PyTree,
    *,
    key: Keys | None = None,
    tolerance: float = 1e-5,
) -> None:
    """Compiling the call changes nothing beyond rounding.

    Args:
      method: the method under test.
      model: an `xattr.Model`, or any function that is a pytree.
      images: images to explain.
      targets: what the score selects; None for the predicted classes.
      key: for methods that draw at random.
      tolerance: largest deviation, relative to the map's largest value.

    Raises:
      AssertionError: if a larger one is found.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = xattr.Model(lambda w, x: jnp.sin(w * x), jnp.ones((1, 3)))
      >>> assert_same_under_jit(xattr.gradient, model, jnp.ones((4, 3)), None)
    """
    with jax.disable_jit():
        expected = method(model, images, targets, key=key)
    jitted = jax.jit(method)(model, images, targets, key=key)
    difference = (jitted - expected) / largest(expected)
    assert_small(difference, tolerance, "map under jit")
