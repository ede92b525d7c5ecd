"""A small residual network, and its training without a decoder."""

from dataclasses import replace
from functools import partial
from typing import Any

import grain
import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float

from xattr.decoder import Settings, Trainable

SITES = "third", "second"
WIDTHS = 16, 32, 64
# Of CIFAR-10's training photographs.
MEAN, STDDEV = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Network(nnx.Module):
    """ResNet-8: a convolution and three residual blocks, normalized by the batch."""

    def __init__(self, num_classes: int, rngs: nnx.Rngs):
        self.stem = Convolution(3, WIDTHS[0], 1, rngs)
        self.first = Block(WIDTHS[0], WIDTHS[0], 1, rngs)
        self.second = Block(WIDTHS[0], WIDTHS[1], 2, rngs)
        self.third = Block(WIDTHS[1], WIDTHS[2], 2, rngs)
        self.head = nnx.Linear(WIDTHS[2], num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "n h w 3"]) -> Float[Array, "n k"]:
        """Logits of the classes."""
        mean, stddev = (jnp.array([[[v]]]) for v in (MEAN, STDDEV))
        x = nnx.relu(self.stem((images - mean) / stddev))
        x = self.third(self.second(self.first(x)))
        return self.head(x.mean((1, 2)))


class Convolution(nnx.Module):
    """A convolution of 3 x 3 or less, and batch normalization."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, rngs: nnx.Rngs, side: int = 3
    ):
        self.kernel = nnx.Conv(
            inputs,
            outputs,
            (side, side),
            strides=stride,
            use_bias=False,
            kernel_init=nnx.initializers.he_normal(),
            rngs=rngs,
        )
        self.norm = nnx.BatchNorm(outputs, momentum=0.9, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Apply both."""
        return self.norm(self.kernel(x))


class Block(nnx.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, rngs: nnx.Rngs):
        self.one = Convolution(inputs, outputs, stride, rngs)
        self.two = Convolution(outputs, outputs, 1, rngs)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else Convolution(inputs, outputs, stride, rngs, 1)

    def __call__(self, x: Array) -> Array:
        """Return the sum of both ways, rectified."""
        past = x if self.shortcut is None else self.shortcut(x)
        return nnx.relu(self.two(nnx.relu(self.one(x))) + past)


def alone(network: Trainable, batches: Any, settings: Settings) -> Trainable:
    """The network, trained as it is beside a decoder, but without one.

    On the same batches, by the same descent and schedule.
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
    def step(params, statistics, moments, batch):
        def loss(params):
            module = nnx.merge(network.graph, params, statistics, copy=True)
            errors = optax.softmax_cross_entropy_with_integer_labels(
                module(batch.images), batch.labels
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
    ahead = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    stream = iter(batches.to_iter_dataset(ahead))
    for _ in range(settings.num_steps):
        params, statistics, moments = step(params, statistics, moments, next(stream))
    return replace(network, params=params, statistics=statistics)
