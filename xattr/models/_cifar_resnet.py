"""ResNets for 32x32 images (He et al. 2016, section 4.2)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from xattr.models._layers import GlobalAveragePool, ReLU
from xattr.models._network import Chain, Network


class CifarBlock(nnx.Module):
    """Two 3x3 convolutions and a shortcut without parameters (option A)."""

    def __init__(self, inputs: int, width: int, *, stride: int, rngs: nnx.Rngs):
        self.conv1 = _conv(inputs, width, stride, rngs)
        self.bn1 = nnx.BatchNorm(width, use_running_average=True, rngs=rngs)
        self.conv2 = _conv(width, width, 1, rngs)
        self.bn2 = nnx.BatchNorm(width, use_running_average=True, rngs=rngs)
        self.stride, self.missing = stride, width - inputs

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Add the residual to every `stride`-th position, zeros for new channels."""
        y = jax.nn.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return jax.nn.relu(y + self._shortcut(x))

    def _shortcut(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Subsample, with half the missing channels on each side."""
        if self.stride == 1 and not self.missing:
            return x
        x = x[:, :: self.stride, :: self.stride]
        before = self.missing // 2
        return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (before, self.missing - before)))


def cifar_resnet(num_classes: int = 10, *, depth: int, rngs: nnx.Rngs) -> Network:
    """ResNet of three stages with 16, 32 and 64 channels, for small images.

    Args:
      num_classes: logits.
      depth: layers with weights, 6 m + 2: 20, 32, 44, 56 or 110.
      rngs: keys of the initial weights.

    Returns:
      The network, batch normalization with its running statistics.

    Raises:
      ValueError: if `depth` is not 6 m + 2.

    References:
      [he2016deep], section 4.2, with shortcuts of option A.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(
            f"`depth`={depth} is not 6 m + 2 for a whole m >= 1. Allowed: 8, 14, 20, …"
        )
    layers = {
        "conv1": _conv(3, 16, 1, rngs),
        "bn1": nnx.BatchNorm(16, use_running_average=True, rngs=rngs),
        "relu": ReLU(),
    }
    channels = 16
    for stage, width in enumerate((16, 32, 64)):
        layers[f"layer{stage + 1}"] = _stage(channels, width, blocks, rngs)
        channels = width
    head = {
        "avgpool": GlobalAveragePool(),
        "linear": nnx.Linear(channels, num_classes, rngs=rngs),
    }
    return Network(Chain(layers), Chain(head), prefixes=("", ""))


def _stage(inputs: int, width: int, count: int, rngs: nnx.Rngs) -> Chain:
    """Blocks of one width; the first strides where it widens."""
    stride = 1 if inputs == width else 2
    blocks = {"0": CifarBlock(inputs, width, stride=stride, rngs=rngs)}
    for index in range(1, count):
        blocks[str(index)] = CifarBlock(width, width, stride=1, rngs=rngs)
    return Chain(blocks)


def _conv(inputs: int, outputs: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    return nnx.Conv(
        inputs,
        outputs,
        (3, 3),
        strides=stride,
        padding=1,
        use_bias=False,
        rngs=rngs,
    )
