"""A small network with one logit per attribute, and its training."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int
from pictures import OUTPUTS, SIZE, compose, labels

import xattr

SITE = "last"
STEPS, BATCH = 350, 64
OPTIMIZER = optax.adam(optax.cosine_decay_schedule(2e-3, STEPS))


class Network(nnx.Module):
    """Three convolutions and a dense layer."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Conv(3, 16, (3, 3), rngs=rngs)
        self.second = nnx.Conv(16, 32, (3, 3), strides=2, rngs=rngs)
        self.third = nnx.Conv(32, 32, (3, 3), strides=2, rngs=rngs)
        self.last = Rectifier()
        self.head = nnx.Linear(32 * (SIZE // 4) ** 2, OUTPUTS, rngs=rngs)

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n o"]:
        """Logits of the attributes, and last that of the cue."""
        x = nnx.relu(self.first(images))
        x = nnx.relu(self.second(x))
        x = self.last(self.third(x))
        return self.head(x.reshape(len(x), -1))


class Rectifier(nnx.Module):
    """A module, so that its output has a name."""

    def __call__(self, x: Array) -> Array:
        """Keep what is positive."""
        return nnx.relu(x)


def trained(
    key: Array,
    backgrounds: Float[Array, "b h w 3"],
    places: Int[Array, " o"],
    biased: Int[Array, ""],
    *,
    correlation: float,
) -> xattr.Model:
    """A network that was trained on pictures in which the cue is planted."""
    weights, pictures = jax.random.split(key)
    network = Network(nnx.Rngs(params=weights))
    graph, state = nnx.split(network)
    moments = OPTIMIZER.init(state)
    given = backgrounds, places, biased
    for key in jax.random.split(pictures, STEPS):
        state, moments = _step(graph, correlation, state, moments, key, *given)
    return xattr.from_nnx(nnx.merge(graph, state))


@partial(jax.jit, static_argnums=(0, 1))
def _step(graph, correlation, state, moments, key, backgrounds, places, biased):
    """One step, not a loop of them: JAX's loops are slow on CPUs."""

    def loss(state, images, truth):
        logits = nnx.merge(graph, state)(images)
        return optax.sigmoid_binary_cross_entropy(logits, truth).mean()

    drawn, composed = jax.random.split(key)
    truth = labels(drawn, BATCH, biased=biased, correlation=correlation)
    images = compose(composed, backgrounds, places, truth)
    slope = jax.grad(loss)(state, images, truth.astype(jnp.float32))
    updates, moments = OPTIMIZER.update(slope, moments)
    return optax.apply_updates(state, updates), moments
