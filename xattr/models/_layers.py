"""Layers without parameters, in the conventions of torchvision."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float


class GELU(nnx.Module):
    """Values times the share of a normal distribution below them, without shortcuts."""

    def __call__(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return `x` gated by its own normal probability."""
        return jax.nn.gelu(x, approximate=False)


class ReLU(nnx.Module):
    """Positive part."""

    def __call__(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return the positive part of `x`."""
        return jax.nn.relu(x)


class ReLU6(nnx.Module):
    """Positive part, at most six."""

    def __call__(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return `x` clipped to the range from 0 to 6."""
        return jax.nn.relu6(x)


class PReLU(nnx.Module):
    """Values above zero, and others times a slope of their channel."""

    def __init__(self, channels: int):
        self.slope = nnx.Param(jnp.full((channels,), 0.25))

    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """Return `x` with its negative part scaled."""
        slope = jnp.expand_dims(self.slope[...], range(x.ndim - 1))
        return jax.nn.leaky_relu(x, slope.astype(x.dtype))


class MaxPool(nnx.Module):
    """Largest value of each square window, per channel."""

    def __init__(
        self, window: int, *, stride: int, padding: int = 0, ceil_mode: bool = False
    ):
        self.window, self.stride = window, stride
        self.padding, self.ceil_mode = padding, ceil_mode

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j c"]:
        """Pool the two spatial axes of `x`."""
        return nnx.max_pool(
            x,
            (self.window, self.window),
            (self.stride, self.stride),
            padding=(self._pad(x.shape[1]), self._pad(x.shape[2])),  # pyright: ignore
        )

    def _pad(self, size: int) -> tuple[int, int]:
        """Padding of one axis; ceil mode lets the last window hang over the end."""
        before = self.padding
        room = size + 2 * before - self.window
        short = -room % self.stride if self.ceil_mode else 0
        starts_inside = room + short < size + before
        return before, before + (short if starts_inside else 0)


class AveragePool(nnx.Module):
    """Mean of each square window, per channel; padding counts as zeros."""

    def __init__(self, window: int, *, stride: int, padding: int = 0):
        self.window, self.stride, self.padding = window, stride, padding

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j c"]:
        """Pool the two spatial axes of `x`."""
        sides = ((self.padding, self.padding),) * 2
        return nnx.avg_pool(
            x,
            (self.window, self.window),
            (self.stride, self.stride),
            padding=sides,  # pyright: ignore
        )


class GlobalAveragePool(nnx.Module):
    """Mean over all positions, per channel."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
        """Average the two spatial axes of `x`."""
        return x.mean(axis=(1, 2))


class AdaptiveAveragePool(nnx.Module):
    r"""Means over a fixed number of windows that cover the map, per channel.

    Window $i$ of $S$ on an axis of length $L$ holds the positions from
    $\lfloor iL/S \rfloor$ to $\lceil (i+1)L/S \rceil$; they overlap where $S$
    does not divide $L$.
    """

    def __init__(self, size: int):
        self.size = size

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j c"]:
        """Average `x` down (or up) to a square map."""
        if x.shape[1:3] == (self.size, self.size):
            return x
        rows, columns = (
            jnp.asarray(_window_means(length, self.size), x.dtype)
            for length in x.shape[1:3]
        )
        return jnp.einsum("ih,jw,nhwc->nijc", rows, columns, x)


class FlattenChannelsFirst(nnx.Module):
    """All positions of all channels in a row, in the order that torch flattens."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n d"]:
        """Flatten `x` with channels slowest and columns fastest."""
        return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)


def _window_means(length: int, size: int) -> np.ndarray:
    """Matrix whose rows average the windows of an adaptive pool."""
    index, position = np.arange(size)[:, None], np.arange(length)
    start = index * length // size
    stop = -(-(index + 1) * length // size)
    inside = (start <= position) & (position < stop)
    return inside / inside.sum(axis=1, keepdims=True)
