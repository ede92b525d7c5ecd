"""SqueezeNet 1.0 and 1.1 (Iandola et al. 2016)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from xattr.models._layers import GlobalAveragePool, MaxPool, ReLU
from xattr.models._network import Chain, Network


class Fire(nnx.Module):
    """Few 1x1 filters, then 1x1 and 3x3 filters side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int, *, rngs: nnx.Rngs):
        self.squeeze = nnx.Conv(inputs, squeeze, (1, 1), rngs=rngs)
        self.expand1x1 = nnx.Conv(squeeze, expand, (1, 1), rngs=rngs)
        self.expand3x3 = nnx.Conv(squeeze, expand, (3, 3), padding=1, rngs=rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w d"]:
        """Return both groups of filters, 1x1 first."""
        x = jax.nn.relu(self.squeeze(x))
        sides = [jax.nn.relu(side(x)) for side in (self.expand1x1, self.expand3x3)]
        return jnp.concatenate(sides, axis=-1)


def squeezenet1_0(num_classes: int = 1000, *, rngs: nnx.Rngs) -> Network:
    """SqueezeNet 1.0: a 7x7 stem and late pools.

    References:
      [iandola2016squeezenet], table 1.
    """
    stem = nnx.Conv(3, 96, (7, 7), strides=2, padding="VALID", rngs=rngs)
    return _squeezenet(stem, "FFFPFFFFPF", num_classes, rngs)


def squeezenet1_1(num_classes: int = 1000, *, rngs: nnx.Rngs) -> Network:
    """SqueezeNet 1.1: a 3x3 stem and early pools, 2.4 times fewer operations.

    References:
      [iandola2016squeezenet], and the authors' release 1.1.
    """
    stem = nnx.Conv(3, 64, (3, 3), strides=2, padding="VALID", rngs=rngs)
    return _squeezenet(stem, "FFPFFPFFFF", num_classes, rngs)


_SQUEEZES = (16, 16, 32, 32, 48, 48, 64, 64)


def _squeezenet(stem: nnx.Conv, plan: str, num_classes: int, rngs: nnx.Rngs) -> Network:
    """Stem, ReLU and pool, then fire modules (F) and pools (P) in the given order."""
    layers = [stem, ReLU(), _pool()]
    channels, squeezes = stem.out_features, iter(_SQUEEZES)
    for kind in plan:
        if kind == "P":
            layers.append(_pool())
            continue
        squeeze = next(squeezes)
        layers.append(Fire(channels, squeeze, 4 * squeeze, rngs=rngs))
        channels = 8 * squeeze
    head = {
        "1": nnx.Conv(channels, num_classes, (1, 1), rngs=rngs),
        "2": ReLU(),
        "3": GlobalAveragePool(),
    }
    features = {str(index): layer for index, layer in enumerate(layers)}
    return Network(Chain(features), Chain(head), prefixes=("features.", "classifier."))


def _pool() -> MaxPool:
    return MaxPool(3, stride=2, ceil_mode=True)
