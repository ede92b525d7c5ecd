"""MobileNetV2 (Sandler et al. 2018)."""

from flax import nnx
from jaxtyping import Array, Float

from xattr.models._layers import GlobalAveragePool, ReLU6
from xattr.models._network import Chain, Network

# Expansion, channels, repeats, stride of the first.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nnx.Module):
    """Expand by 1x1, filter per channel by 3x3, project by 1x1; add if shapes allow."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int, make):
        hidden = expansion * inputs
        layers = [make.filter(inputs, hidden, 1)] if expansion != 1 else []
        layers.append(make.filter(hidden, hidden, 3, stride=stride, groups=hidden))
        layers += make.linear(hidden, outputs)
        self.conv = Chain({str(index): layer for index, layer in enumerate(layers)})
        self.residual = stride == 1 and inputs == outputs

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Return the projection, plus `x` where shapes allow."""
        y = self.conv(x)
        return x + y if self.residual else y


class _Maker:
    """Convolutions with one padding rule, with or without batch normalization."""

    def __init__(self, padding: str, norm: bool, rngs: nnx.Rngs):
        self.padding, self.norm, self.rngs = padding, norm, rngs

    def filter(self, inputs, outputs, size, *, stride=1, groups=1) -> Chain:
        conv = nnx.Conv(
            inputs,
            outputs,
            (size, size),
            strides=stride,
            padding="SAME" if self.padding == "SAME" else size // 2,
            feature_group_count=groups,
            use_bias=not self.norm,
            rngs=self.rngs,
        )
        norm = {"1": self._norm(outputs)} if self.norm else {}
        return Chain({"0": conv, **norm, "2": ReLU6()})

    def linear(self, inputs: int, outputs: int) -> list[nnx.Module]:
        conv = nnx.Conv(inputs, outputs, (1, 1), use_bias=not self.norm, rngs=self.rngs)
        return [conv, self._norm(outputs)] if self.norm else [conv]

    def _norm(self, channels: int) -> nnx.BatchNorm:
        return nnx.BatchNorm(channels, use_running_average=True, rngs=self.rngs)


def mobilenet_v2(
    num_classes: int = 1000,
    *,
    padding: str = "torch",
    norm: bool = True,
    rngs: nnx.Rngs,
) -> Network:
    """MobileNetV2 of width 1: inverted residuals with linear bottlenecks.

    Args:
      num_classes: logits.
      padding: "torch" pads both sides alike; "SAME" pads as TensorFlow does, which
        for stride 2 on even sizes is only at the end.
      norm: batch normalization after each convolution. Without it, the convolutions
        have biases, into which it was folded.
      rngs: keys of the initial weights.

    Returns:
      The network, batch normalization with its running statistics.

    Raises:
      ValueError: if `padding` is neither.

    References:
      [sandler2018mobilenetv2], table 2.
    """
    if padding not in ("torch", "SAME"):
        raise ValueError(
            f'`padding`={padding!r} is not a padding rule. Allowed: "torch", "SAME".'
        )
    make = _Maker(padding, norm, rngs)
    layers: list[nnx.Module] = [make.filter(3, 32, 3, stride=2)]
    channels = 32
    for expansion, width, repeats, first in _STAGES:
        for stride in (first, *[1] * (repeats - 1)):
            layers.append(
                InvertedResidual(
                    channels, width, expansion=expansion, stride=stride, make=make
                )
            )
            channels = width
    layers.append(make.filter(channels, 1280, 1))
    features = {str(index): layer for index, layer in enumerate(layers)}
    head = {
        "avgpool": GlobalAveragePool(),
        "1": nnx.Linear(1280, num_classes, rngs=rngs),
    }
    return Network(Chain(features), Chain(head), prefixes=("features.", "classifier."))
