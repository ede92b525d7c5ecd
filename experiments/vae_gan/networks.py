"""Encoder, decoder and discriminator."""

import jax
import jax.numpy as jnp
from config import Config
from flax import nnx


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
