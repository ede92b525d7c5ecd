"""Encoder, decoder and discriminator of a VAE-GAN, and what they are trained with."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx


@dataclass(frozen=True)
class Config:
    """What they are, and are trained with.

    Attributes:
      side: of the photographs, in pixels; the encoder's maps are a half, a quarter and
        an eighth of it.
      widths: channels of its three convolutions.
      latents: numbers that a photograph becomes.
      batch_size: photographs of a step.
      num_steps: of training.
      learning_rate: of all three networks.
      gamma: weight of the reconstruction against deceiving, in the decoder's loss.
      seed: of everything.
    """

    side: int = 64
    widths: tuple[int, int, int] = (32, 64, 128)
    latents: int = 64
    batch_size: int = 32
    num_steps: int = 1200
    learning_rate: float = 3e-4
    gamma: float = 1e-2
    seed: int = 0


def _norm(width: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(width, momentum=0.9, rngs=rngs)


class Block(nnx.Module):
    """A convolution that halves the grid, a norm, a rectifier."""

    def __init__(self, before: int, width: int, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(before, width, (5, 5), strides=2, rngs=rngs)
        self.norm = _norm(width, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """One grid coarser."""
        return jax.nn.relu(self.norm(self.conv(x)))


class Encoder(nnx.Module):
    """From a photograph to the mean and the logarithmic variance of its latents."""

    def __init__(self, config: Config, rngs: nnx.Rngs) -> None:
        widths = (3, *config.widths)
        self.blocks = nnx.List(
            Block(a, b, rngs) for a, b in zip(widths, widths[1:], strict=False)
        )
        cells = (config.side // 8) ** 2
        self.head = nnx.Linear(cells * widths[-1], 2 * config.latents, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Means, then logarithmic variances."""
        x = 2 * images - 1
        for block in self.blocks:
            x = block(x)
        return self.head(x.reshape(len(x), -1))


class Decoder(nnx.Module):
    """From latents to a photograph; grids grow by repetition, then a convolution."""

    def __init__(self, config: Config, rngs: nnx.Rngs) -> None:
        widths = config.widths[::-1]
        self.side, self.width = config.side // 8, widths[0]
        self.head = nnx.Linear(config.latents, self.side**2 * widths[0], rngs=rngs)
        pairs = zip(widths, (*widths[1:], widths[-1]), strict=True)
        self.convs, self.norms = nnx.List(), nnx.List()
        for before, width in pairs:
            self.convs.append(nnx.Conv(before, width, (3, 3), rngs=rngs))
            self.norms.append(_norm(width, rngs))
        self.last = nnx.Conv(widths[-1], 3, (3, 3), rngs=rngs)

    def __call__(self, latents: jax.Array) -> jax.Array:
        """A photograph in [0, 1]."""
        x = jax.nn.relu(self.head(latents))
        x = x.reshape(-1, self.side, self.side, self.width)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
            x = jax.nn.relu(norm(conv(x)))
        return jax.nn.sigmoid(self.last(x))


class Discriminator(nnx.Module):
    """Whether a photograph is real, and what it sees on the way."""

    def __init__(self, config: Config, rngs: nnx.Rngs) -> None:
        widths = (3, *config.widths)
        self.blocks = nnx.List(
            Block(a, b, rngs) for a, b in zip(widths, widths[1:], strict=False)
        )
        cells = (config.side // 8) ** 2
        self.head = nnx.Linear(cells * widths[-1], 1, rngs=rngs)

    def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A logit, and the coarsest map."""
        x = 2 * images - 1
        for block in self.blocks:
            x = block(x)
        return self.head(x.reshape(len(x), -1))[:, 0], x


class Networks(nnx.Module):
    """All three."""

    def __init__(self, config: Config) -> None:
        rngs = nnx.Rngs(config.seed)
        self.encoder = Encoder(config, rngs)
        self.decoder = Decoder(config, rngs)
        self.discriminator = Discriminator(config, rngs)
