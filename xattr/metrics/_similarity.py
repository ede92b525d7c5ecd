"""How alike two maps of the same image are: correlations over all of their entries."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Of two maps of each image, `n ...`.
Similarity = Callable[[Array, Array], Float[Array, " n"]]


@jax.jit
def spearman(
    a: Float[Array, "n *shape"], b: Float[Array, "n *shape"]
) -> Float[Array, " n"]:
    r"""Whether two maps put the entries in the same order.

    $$ \rho = \mathrm{pearson}(\mathrm{rank}\,a, \mathrm{rank}\,b) $$

    Equal entries share the mean of their ranks. Any increasing function of the entries
    leaves it as it is.

    Args:
      a: one map per image, of any shape.
      b: as many of the same shape.

    Returns:
      From -1, the opposite order, to 1, the same order; 0 for maps of unrelated order.
      Not a number where a map is constant or not finite.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> a, b = jnp.array([[1.0, 2.0, 3.0]]), jnp.array([[10.0, 90.0, 80.0]])
      >>> spearman(a, b)
      Array([0.5], dtype=float32)

    References:
      [adebayo2018sanity].
    """
    return _correlation(*(_ranks(x) for x in _flat(a, b)))


@jax.jit
def pearson(
    a: Float[Array, "n *shape"], b: Float[Array, "n *shape"]
) -> Float[Array, " n"]:
    r"""Whether one map is nearly a multiple of the other, plus a constant.

    $$ r = \cos(a - \bar a, b - \bar b) $$

    Args:
      a: one map per image, of any shape.
      b: as many of the same shape.

    Returns:
      From -1, a negative multiple, to 1, a positive one. Not a number where a map is
      constant or not finite.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> a, b = jnp.array([[0.0, 1.0, 2.0]]), jnp.array([[1.0, 5.0, 3.0]])
      >>> pearson(a, b)
      Array([0.5], dtype=float32)
    """
    return _correlation(*_flat(a, b))


@jax.jit
def cosine(
    a: Float[Array, "n *shape"], b: Float[Array, "n *shape"]
) -> Float[Array, " n"]:
    r"""Whether one map is nearly a multiple of the other.

    $$ \cos(a, b) = \frac{\langle a, b\rangle}{\lVert a\rVert\,\lVert b\rVert} $$

    Args:
      a: one map per image, of any shape.
      b: as many of the same shape.

    Returns:
      From -1, a negative multiple, to 1, a positive one. Not a number where a map is
      zero or not finite.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> cosine(jnp.array([[3.0, 4.0]]), jnp.array([[1.0, 0.0]]))
      Array([0.6], dtype=float32)

    References:
      [sixt2020when].

    Notes:
      Quantus and SciPy call one minus this the cosine, a distance.
    """
    return _cosine(*_flat(a, b))


def _flat(a: Array, b: Array) -> list[Array]:
    if a.shape != b.shape:
        raise ValueError(
            f"`a` has shape {a.shape} and `b` has {b.shape}; maps of the same image "
            f"must be of one shape: `xattr.images.resize(b, a.shape[1:3])`."
        )
    wide = jnp.promote_types(a.dtype, jnp.float32)
    return [x.reshape(x.shape[0], -1).astype(wide) for x in (a, b)]


def _correlation(a: Array, b: Array) -> Array:
    return _cosine(*(_centered(x) for x in (a, b)))


def _centered(x: Array) -> Array:
    # The mean of a constant is rounded, and what it leaves is no pattern.
    constant = x.max(1, keepdims=True) == x.min(1, keepdims=True)
    return jnp.where(constant, 0, x - x.mean(1, keepdims=True))


def _cosine(a: Array, b: Array) -> Array:
    # To a common size, lest the squares of small gradients vanish.
    a, b = (x / jnp.abs(x).max(1, keepdims=True) for x in (a, b))
    return (a * b).sum(1) / jnp.sqrt((a * a).sum(1) * (b * b).sum(1))


def _ranks(x: Array) -> Array:
    """Rank of each entry, in steps of 1 about 0; equal entries have their mean's."""
    order = jnp.argsort(x, axis=1)
    ordered = jnp.take_along_axis(x, order, axis=1)
    place = jnp.broadcast_to(jnp.arange(x.shape[1])[None], x.shape)
    edge = jnp.ones((x.shape[0], 1), bool)
    differs = ordered[:, 1:] != ordered[:, :-1]
    starts, ends = (jnp.concatenate(p, 1) for p in ((edge, differs), (differs, edge)))
    first = jax.lax.cummax(jnp.where(starts, place, 0), axis=1)
    last = jax.lax.cummin(jnp.where(ends, place, x.shape[1] - 1), axis=1, reverse=True)
    ranks = ((first + last - (x.shape[1] - 1)) / 2).astype(x.dtype)
    back = jnp.argsort(order, axis=1)
    ranks = jnp.take_along_axis(ranks, back, axis=1)
    finite = jnp.isfinite(x).all(1, keepdims=True)
    return jnp.where(finite, ranks, jnp.nan)
