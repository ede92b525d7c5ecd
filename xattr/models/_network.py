"""What all networks share: features, then a head."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Chain(nnx.Module):
    """Layers applied one after the other, under names of their own.

    The names are those of torchvision, gaps included, so that the path of a module
    is both the name of its site and the name of its tensors.
    """

    def __init__(self, layers: Mapping[str, Callable]):
        self.order = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def __call__(self, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """Apply all layers in order."""
        for name in self.order:
            x = getattr(self, name)(x)
        return x


class Normalize(nnx.Module):
    """What a network expects, from RGB in [0, 1].

    $$ y = (x - m) / s $$

    Args:
      mean: one value per channel, in units of [0, 1], in the order of `channels`.
      std: one value per channel, likewise.
      channels: "RGB", or "BGR" for networks from Caffe.

    Example:
      >>> import jax.numpy as jnp
      >>> halves = Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
      >>> halves(jnp.array([[[[0.0, 0.5, 1.0]]]])).tolist()
      [[[[-1.0, 0.0, 1.0]]]]
    """

    def __init__(
        self,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        *,
        channels: str = "RGB",
    ):
        if channels not in ("RGB", "BGR"):
            raise ValueError(
                f"`channels`={channels!r} is not an order of channels. "
                'Allowed: "RGB", "BGR".'
            )
        self.mean, self.std, self.channels = mean, std, channels

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Normalize `images`, reversing their channels first where asked."""
        ordered = images[..., ::-1] if self.channels == "BGR" else images
        mean, std = (
            jnp.asarray(values, images.dtype).reshape(1, 1, 1, -1)
            for values in (self.mean, self.std)
        )
        return (ordered - mean) / std


class Identity(nnx.Module):
    """Nothing."""

    def __call__(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Return `x`."""
        return x


class Network(nnx.Module):
    """A classifier of images or of pixels: `head(features(normalize(images)))`.

    Args:
      features: gives the last spatial map; of pixels, the maps that the head needs.
      head: gives the logits from them.
      prefixes: what torch's tensor names have in place of "features." and "head.".
    """

    def __init__(
        self, features: Callable, head: Callable, *, prefixes: tuple[str, str]
    ):
        self.normalize: Callable[[Array], Array] = Identity()
        self.features = features
        self.head = head
        self.prefixes = prefixes

    def __call__(self, images: Float[Array, "n h w c"]) -> Float[Array, "n *hw k"]:
        """Return one logit per class, of each pixel for a network that segments."""
        return self.head(self.features(self.normalize(images)))
