"""ResNet with 18 to 152 layers (He et al. 2016)."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from xattr.models._layers import GlobalAveragePool, MaxPool, ReLU
from xattr.models._network import Chain, Network


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, *, stride: int, rngs: nnx.Rngs):
        self.conv1 = _conv(inputs, width, 3, stride, rngs)
        self.bn1 = _norm(width, rngs)
        self.conv2 = _conv(width, width, 3, 1, rngs)
        self.bn2 = _norm(width, rngs)
        self.downsample = _shortcut(inputs, width, stride, rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Add the residual to the shortcut."""
        y = jax.nn.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return jax.nn.relu(y + self.downsample(x))


class Bottleneck(nnx.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the 3x3 one takes the stride."""

    expansion = 4

    def __init__(self, inputs: int, width: int, *, stride: int, rngs: nnx.Rngs):
        outputs = self.expansion * width
        self.conv1 = _conv(inputs, width, 1, 1, rngs)
        self.bn1 = _norm(width, rngs)
        self.conv2 = _conv(width, width, 3, stride, rngs)
        self.bn2 = _norm(width, rngs)
        self.conv3 = _conv(width, outputs, 1, 1, rngs)
        self.bn3 = _norm(outputs, rngs)
        self.downsample = _shortcut(inputs, outputs, stride, rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Add the residual to the shortcut."""
        y = jax.nn.relu(self.bn1(self.conv1(x)))
        y = jax.nn.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return jax.nn.relu(y + self.downsample(x))


_STAGES = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


def resnet(num_classes: int = 1000, *, depth: int, rngs: nnx.Rngs) -> Network:
    """ResNet: a stem, four stages of residual blocks, a mean and a linear layer.

    Args:
      num_classes: logits.
      depth: layers with weights: 18, 34, 50, 101 or 152.
      rngs: keys of the initial weights.

    Returns:
      The network, batch normalization with its running statistics.

    References:
      [he2016deep], table 1.

    Notes:
      As in torchvision, bottlenecks stride in their 3x3 convolution; the paper
      strides in the first 1x1.
    """
    block, counts = _STAGES[depth]
    layers = {
        "conv1": _conv(3, 64, 7, 2, rngs),
        "bn1": _norm(64, rngs),
        "relu": ReLU(),
        "maxpool": MaxPool(3, stride=2, padding=1),
    }
    channels = 64
    for stage, count in enumerate(counts):
        width, stride = 64 * 2**stage, 1 if stage == 0 else 2
        layers[f"layer{stage + 1}"] = _stage(
            block, channels, width, count, stride, rngs
        )
        channels = block.expansion * width
    head = {
        "avgpool": GlobalAveragePool(),
        "fc": nnx.Linear(channels, num_classes, rngs=rngs),
    }
    return Network(Chain(layers), Chain(head), prefixes=("", ""))


def _stage(block, inputs: int, width: int, count: int, stride: int, rngs) -> Chain:
    """Blocks of one width, the first of which may stride."""
    blocks = {"0": block(inputs, width, stride=stride, rngs=rngs)}
    for index in range(1, count):
        blocks[str(index)] = block(block.expansion * width, width, stride=1, rngs=rngs)
    return Chain(blocks)


def _shortcut(inputs: int, outputs: int, stride: int, rngs: nnx.Rngs) -> Chain:
    """A 1x1 convolution where the shape changes, else nothing."""
    if stride == 1 and inputs == outputs:
        return Chain({})
    return Chain(
        {"0": _conv(inputs, outputs, 1, stride, rngs), "1": _norm(outputs, rngs)}
    )


def _conv(inputs: int, outputs: int, size: int, stride: int, rngs) -> nnx.Conv:
    return nnx.Conv(
        inputs,
        outputs,
        (size, size),
        strides=stride,
        padding=size // 2,
        use_bias=False,
        rngs=rngs,
    )


def _norm(channels: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(channels, use_running_average=True, rngs=rngs)
