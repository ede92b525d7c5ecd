"""One method of a plan as metrics call it, of any images."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from xattr._types import Images, Keys, Predictor
from xattr.compare._reduced import reduced
from xattr.run import Plan
from xattr.run._compiler import compiler_options


class Explained:
    """A method with its site and hyperparameters; its maps have one number per pixel.

    It is one program for all weights and images. What the method needs of each image on
    the host, such as segments, is computed anew for every image that is explained.

    Args:
      plan: the run's plan.
      name: of the method.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        self._row = plan.methods[name]
        self._plain = partial(_explain, plan, name)
        options = compiler_options(jax.default_backend())
        self._explain = jax.jit(self._plain, compiler_options=options)

    def __call__(
        self,
        model: Predictor,
        images: Images,
        targets: PyTree = None,
        *,
        key: Keys | None = None,
    ) -> Float[Array, "n h w"]:
        """The maps of images."""
        return self._explain(model, images, targets, key, self._prepared(images))

    def program(self, model: Predictor, images: Images, targets: PyTree, key: Keys):
        """What is compiled, as a function of nothing, for counting its operations."""
        prepared = self._prepared(jnp.zeros(images.shape, images.dtype))
        return lambda: self._plain(model, images, targets, key, prepared)

    def _prepared(self, images: Images) -> dict[str, Any]:
        if self._row.prepare is None:
            return {}
        return self._row.prepare(np.asarray(images))


def _explain(
    plan: Plan,
    name: str,
    model: Predictor,
    images: Images,
    targets: PyTree,
    key: Keys | None,
    prepared: dict[str, Any],
) -> Float[Array, "n h w"]:
    row = plan.methods[name]
    constants = row.baselines(images) if row.baselines else {}
    maps = plan.method(name)(model, images, targets, key=key, **constants, **prepared)
    height, width = images.shape[1:3]
    return reduced(name, maps.astype(jnp.float32), (height, width))
