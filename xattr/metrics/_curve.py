"""Scores while an image is changed, and the area under them."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Curve(NamedTuple):
    """What the model says of each image while more and more of it is changed.

    Attributes:
      area: mean height of each curve, by the trapezoid rule over the fractions divided
        by what they span: a constant score $s$ has area $s$.
      fractions: share of the pixels that is changed at each step.
      scores: score of each image at each step.
    """

    area: Float[Array, " n"]
    fractions: Float[Array, " s"]
    scores: Float[Array, "n s"]


def curve(fractions: Float[Array, " s"], scores: Float[Array, "n s"]) -> Curve:
    """The curve through these points, with its area.

    Example:
      >>> import jax.numpy as jnp
      >>> curve(jnp.array([0.0, 0.5, 1.0]), jnp.array([[1.0, 0.5, 0.0]])).area
      Array([0.5], dtype=float32)
    """
    steps = jnp.diff(fractions)
    middles = (scores[:, 1:] + scores[:, :-1]) / 2
    area = (middles * steps[None]).sum(1) / (fractions[-1] - fractions[0])
    return Curve(area, fractions, scores)
