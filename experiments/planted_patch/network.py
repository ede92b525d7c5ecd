"""A small network that tells patterns apart, and its training."""

from functools import partial

import jax
import optax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from pictures import PATTERNS, pictures

import xattr

SITES = "third", "second"
BATCH = 64


class Network(nnx.Module):
    """Three convolutions, normalized by the batch, a maximum and a dense layer."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = Convolution(3, 24, 1, rngs)
        self.second = Convolution(24, 48, 2, rngs)
        self.third = Convolution(48, 96, 2, rngs)
        self.head = nnx.Linear(96, len(PATTERNS), rngs=rngs)

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """Logits of the patterns."""
        x = self.third(self.second(self.first(2 * images - 1)))
        # The maximum: a patch is a small part of the image.
        return self.head(x.max((1, 2)))


class Convolution(nnx.Module):
    """A convolution of 3 x 3, batch normalization and a rectifier."""

    def __init__(self, inputs: int, outputs: int, stride: int, rngs: nnx.Rngs):
        self.kernel = nnx.Conv(inputs, outputs, (3, 3), strides=stride, rngs=rngs)
        self.norm = nnx.BatchNorm(outputs, momentum=0.9, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Apply the three."""
        return nnx.relu(self.norm(self.kernel(x)))


def trained(key: PRNGKeyArray, *, steps: int) -> xattr.Model:
    """A network that was trained on fresh pictures."""
    weights, drawn = jax.random.split(key)
    graph, params, rest = nnx.split(Network(nnx.Rngs(weights)), nnx.Param, ...)
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, steps))
    moments = optimizer.init(params)

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params, rest, moments, key):
        images, labels, _ = pictures(key, BATCH)

        def loss(params):
            network = nnx.merge(graph, params, rest, copy=True)
            errors = optax.softmax_cross_entropy_with_integer_labels(
                network(images), labels
            )
            return errors.mean(), nnx.split(network, nnx.Param, ...)[2]

        gradient, rest_after = jax.grad(loss, has_aux=True)(params)
        updates, after = optimizer.update(gradient, moments)
        return optax.apply_updates(params, updates), rest_after, after

    for key in jax.random.split(drawn, steps):
        params, rest, moments = step(params, rest, moments, key)
    return xattr.from_nnx(nnx.merge(graph, params, rest))
