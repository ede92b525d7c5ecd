"""Where nodes are and how far they stray, by what they explain (the M-step)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.graph._constants import Compat
from xattr.graph._expectation import Explained


def moved_means(
    means: Float[Array, "v 2"],
    stddevs: Float[Array, " v"],
    found: Explained,
    iteration: Float[Array, ""] | int,
    eta: float,
) -> Float[Array, "v 2"]:
    r"""Mean positions after a damped step towards what nodes explain.

    $$ \mu \leftarrow \mu + \frac{\eta s_{\min}^2}{\sqrt{t}\, s^2}
       \frac{\sum r F \delta}{\sum r F} $$

    A node that explains nothing stays where it is.
    """
    ratio = (stddevs.min() / stddevs) ** 2
    pace = eta * ratio / jnp.sqrt(jnp.asarray(iteration, means.dtype))
    return means + pace[:, None] * _mean(found.pull, found.weight[:, None])


def exact_means(means: Float[Array, "v 2"], found: Explained) -> Float[Array, "v 2"]:
    """Mean positions at which what nodes explain now is the most likely."""
    return means + _mean(found.pull, found.weight[:, None])


def learnt_scales(
    scales: Float[Array, " v"], found: Explained, density: float, compat: Compat
) -> Float[Array, " v"]:
    """How far nodes stray along either axis, within the published bounds.

    Args:
      scales: before, kept where a node explains nothing.
      found: sums over the images.
      density: nodes per cell.
      compat: "matlab" for the distance in the plane in place of that along an axis.
    """
    square = _mean(found.stray, found.scores)
    square = square if compat == "matlab" else square / 2
    low, high = (bound / density**0.5 for bound in (0.1, 1.0))
    learnt = jnp.clip(jnp.sqrt(square), low, high)
    return jnp.where(found.scores > 0, learnt, scales)


def _mean(total: Array, weight: Array) -> Array:
    return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), 0)
