"""VGG with 11, 13, 16 and 19 layers (Simonyan and Zisserman 2015)."""

from flax import nnx

from xattr.models._layers import (
    AdaptiveAveragePool,
    FlattenChannelsFirst,
    MaxPool,
    ReLU,
)
from xattr.models._network import Chain, Network

_CHANNELS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}


def vgg(
    num_classes: int = 1000, *, depth: int, norm: bool = False, rngs: nnx.Rngs
) -> Network:
    """VGG: five stages of 3x3 convolutions, then three large linear layers.

    Args:
      num_classes: logits.
      depth: layers with weights: 11, 13, 16 or 19.
      norm: batch normalization after each convolution.
      rngs: keys of the initial weights.

    Returns:
      The network. Images of 224 give the 7x7 map that the head was trained on;
      maps of other sizes are averaged to it.

    References:
      [simonyan2015very], table 1, columns A, B, D and E.
    """
    layers, channels = [], 3
    for width, repeats in zip(_CHANNELS, _CONVOLUTIONS[depth], strict=True):
        for _ in range(repeats):
            layers.append(nnx.Conv(channels, width, (3, 3), padding=1, rngs=rngs))
            if norm:
                layers.append(nnx.BatchNorm(width, use_running_average=True, rngs=rngs))
            layers.append(ReLU())
            channels = width
        layers.append(MaxPool(2, stride=2))
    features = {str(index): layer for index, layer in enumerate(layers)}
    return Network(
        Chain(features),
        Chain(_head(num_classes, rngs)),
        prefixes=("features.", "classifier."),
    )


def _head(num_classes: int, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """Pool and linear layers; the gaps in the numbers are the dropouts."""
    return {
        "avgpool": AdaptiveAveragePool(7),
        "flatten": FlattenChannelsFirst(),
        "0": nnx.Linear(7 * 7 * 512, 4096, rngs=rngs),
        "1": ReLU(),
        "3": nnx.Linear(4096, 4096, rngs=rngs),
        "4": ReLU(),
        "6": nnx.Linear(4096, num_classes, rngs=rngs),
    }
