"""K-means clustering."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


class Clusters(NamedTuple):
    """Points by the center that they are nearest to.

    Attributes:
      centers: of the clusters.
      labels: cluster of each point.
      squares: squared distance of each point from the center of its cluster.
      errors: mean of these distances before each round and at the end.
    """

    centers: Float[Array, "k d"]
    labels: Int[Array, " n"]
    squares: Float[Array, " n"]
    errors: Float[Array, " r"]


@functools.partial(jax.jit, static_argnames=("num_clusters", "num_rounds"))
def k_means(
    points: Float[Array, "n d"],
    *,
    num_clusters: int,
    num_rounds: int = 20,
    key: PRNGKeyArray,
) -> Clusters:
    r"""Centers that points are near to.

    $$ \min_{c, l} \sum_n \|x_n - c_{l_n}\|^2 $$

    by Lloyd's rounds, from centers that are points, each drawn with a probability
    proportional to its squared distance from those drawn before.

    Args:
      points: what is clustered.
      num_clusters: at most as many as there are points.
      num_rounds: how often centers are moved to the mean of their points. One without
        points stays where it is.
      key: of the first centers.

    Returns:
      The clusters; some may have no point.

    Example:
      >>> points = jnp.array([[0.0], [2.0], [10.0], [12.0]])
      >>> found = k_means(points, num_clusters=2, key=jax.random.key(0))
      >>> sorted(found.centers.ravel().tolist()), float(found.errors[-1])
      ([1.0, 11.0], 1.0)

    References:
      [lloyd1982least]; [arthur2007kmeans].
    """
    centers = _seeds(points, num_clusters, key)

    def step(centers: Float[Array, "k d"], _: None):
        labels, squares = _nearest(points, centers)
        total = jax.ops.segment_sum(points, labels, num_clusters)
        ones = jnp.ones_like(squares)
        num = jax.ops.segment_sum(ones, labels, num_clusters)[:, None]
        return jnp.where(num > 0, total / jnp.maximum(num, 1), centers), squares.mean()

    centers, errors = jax.lax.scan(step, centers, length=num_rounds)
    labels, squares = _nearest(points, centers)
    return Clusters(centers, labels, squares, jnp.append(errors, squares.mean()))


def _seeds(
    points: Float[Array, "n d"], num: int, key: PRNGKeyArray
) -> Float[Array, "k d"]:
    def step(squares: Float[Array, " n"], key: PRNGKeyArray):
        seed = points[jax.random.categorical(key, jnp.log(squares))]
        away = ((points - seed[None]) ** 2).sum(1)
        return jnp.minimum(squares, away), seed

    # The first of them: every point alike.
    alike = jnp.full_like(points[:, 0], jnp.finfo(points.dtype).max)
    return jax.lax.scan(step, alike, jax.random.split(key, num))[1]


def _nearest(
    points: Float[Array, "n d"], centers: Float[Array, "k d"]
) -> tuple[Int[Array, " n"], Float[Array, " n"]]:
    product = jnp.matmul(points, centers.T, precision="highest")
    labels = ((centers**2).sum(1)[None] - 2 * product).argmin(1)
    return labels, ((points - centers[labels]) ** 2).sum(1)
