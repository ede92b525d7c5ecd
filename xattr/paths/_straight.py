"""Points on the straight paths from baselines to images, as perturbations of these."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, Int

from xattr._types import Images
from xattr.paths._baselines import Baselines, baselines_for, pick
from xattr.paths._quadrature import Rule, quadrature


class Step(NamedTuple):
    """A point, the whole way from the baseline to the image, and the step's weight."""

    point: Images
    way: Images
    weight: Inexact[Array, " pairs"]


class Straight(NamedTuple):
    """All steps of all paths of each image: those from the first baseline first."""

    baselines: Baselines
    nodes: Float[Array, " s"]
    weights: Float[Array, " s"]

    @property
    def num(self) -> int:
        """Steps of an image, over all of its paths."""
        return self.baselines.shape[0] * self.nodes.shape[0]

    def step(
        self, images: Images, image: Int[Array, " pairs"], index: Int[Array, " pairs"]
    ) -> Step:
        """Step `index` of each of these images, which have these places in the batch.

        Weights of all steps of an image sum to the number of its paths.
        """
        steps = self.nodes.shape[0]
        start = pick(self.baselines, image, index // steps)
        way = images - start
        number = index % steps
        return Step(
            start + along(self.nodes[number], way) * way, way, self.weights[number]
        )


def straight(images: Images, baseline: Any, rule: Rule, num_steps: int) -> Straight:
    """The paths to these images, in the steps of a quadrature rule."""
    nodes, weights = (
        jnp.asarray(part, images.dtype) for part in quadrature(rule, num_steps)
    )
    return Straight(baselines_for(images, baseline), nodes, weights)


def along(
    values: Inexact[Array, " pairs"], like: Inexact[Array, "pairs ..."]
) -> Inexact[Array, "pairs ..."]:
    """One value per row, in as many axes as an array has."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
