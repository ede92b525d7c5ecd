"""A small network that tells patterns apart, and its training without a decoder."""

from dataclasses import replace
from functools import partial

import jax
import optax
from flax import nnx
from jaxtyping import Array, Float
from pictures import PATTERNS, pictures

from xattr.decoder import Settings, Trainable

FIRST, SECOND, THIRD = "first", "second", "third"


class Network(nnx.Module):
    """Three convolutions, normalized by the batch, a maximum and a dense layer."""

    def __init__(self, rngs: nnx.Rngs):
        self.first = Convolution(3, 16, 1, rngs)
        self.second = Convolution(16, 32, 2, rngs)
        self.third = Convolution(32, 64, 2, rngs)
        self.head = nnx.Linear(64, len(PATTERNS), rngs=rngs)

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


def alone(network: Trainable, settings: Settings) -> Trainable:
    """The network, trained as it is beside a decoder, but without one.

    On the same pictures, by the same descent; `settings.seed` decides the pictures.
    """
    optimizer = optax.chain(
        optax.add_decayed_weights(settings.classifier_weight_decay),
        optax.sgd(
            optax.cosine_decay_schedule(
                settings.classifier_learning_rate, settings.num_steps
            ),
            momentum=settings.classifier_momentum,
        ),
    )

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params, statistics, moments, key):
        images, labels, _ = pictures(key, settings.batch_size)

        def loss(params):
            module = nnx.merge(network.graph, params, statistics, copy=True)
            errors = optax.softmax_cross_entropy_with_integer_labels(
                module(images), labels
            )
            return errors.mean(), nnx.split(module, nnx.Param, ...)[2]

        slope, statistics_after = jax.grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(slope, moments, params)
        return optax.apply_updates(params, updates), statistics_after, moments

    # A copy: the step takes the buffers of what it is given.
    params, statistics = jax.tree.map(
        lambda x: x.copy(), (network.params, network.statistics)
    )
    moments = optimizer.init(params)
    for key in draws(settings):
        params, statistics, moments = step(params, statistics, moments, key)
    return replace(network, params=params, statistics=statistics)


def draws(settings: Settings) -> Array:
    """The key of the pictures of each step."""
    return jax.random.split(jax.random.key(1 + settings.seed), settings.num_steps)
