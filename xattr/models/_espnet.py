"""ESPNet with its decoder, for segmentation (Mehta et al. 2018)."""

from functools import partial

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from xattr.models._layers import AveragePool, PReLU
from xattr.models._network import Chain, Network

_DILATIONS = (1, 2, 4, 8, 16)


class Pyramid(nnx.Module):
    """Reduce the channels, filter at five dilations at once, and add up from fine on.

    The sums of ever wider filters stand side by side: where a wide one alone would
    leave a grid of holes, the finer ones under it fill them.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, rngs: nnx.Rngs):
        width = outputs // len(_DILATIONS)
        first = outputs - width * (len(_DILATIONS) - 1)
        size = 1 if stride == 1 else 3
        self.c1 = Conv(inputs, width, size, stride=stride, rngs=rngs)
        for dilation in _DILATIONS:
            channels = first if dilation == 1 else width
            branch = Conv(width, channels, 3, dilation=dilation, rngs=rngs)
            setattr(self, f"d{dilation}", branch)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Return the filters of dilation 1, then the sums from dilation 2 on."""
        x = self.c1(x)
        alone, total, *others = (getattr(self, f"d{d}")(x) for d in _DILATIONS)
        sums = [total]
        for wider in others:
            total = total + wider
            sums.append(total)
        return jnp.concatenate([alone, *sums], axis=-1)


class Downsampling(Pyramid):
    """A pyramid at half the size, normalized and rectified."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        super().__init__(inputs, outputs, stride=2, rngs=rngs)
        self.bn = _norm(outputs, rngs)
        self.act = PReLU(outputs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Return the pyramid of `x`, rectified."""
        return self.act(self.bn(super().__call__(x)))


class Block(Pyramid):
    """A pyramid, added to its input where that has as many channels."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        super().__init__(inputs, outputs, rngs=rngs)
        self.bn = _rectifier(outputs, rngs)
        self.residual = inputs == outputs

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w d"]:
        """Return the pyramid of `x`, rectified."""
        y = super().__call__(x)
        return self.bn(x + y if self.residual else y)


class Conv(nnx.Module):
    """A convolution without bias, its padding that of its reach."""

    def __init__(self, inputs, outputs, size, *, stride=1, dilation=1, rngs: nnx.Rngs):
        self.conv = nnx.Conv(
            inputs,
            outputs,
            (size, size),
            strides=stride,
            padding=size // 2 * dilation,
            kernel_dilation=dilation,
            use_bias=False,
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j d"]:
        """Filter `x`."""
        return self.conv(x)


class Encoder(nnx.Module):
    """Maps at a half, a quarter and an eighth of the size, the image beside each."""

    def __init__(self, num_classes: int, blocks: tuple[int, int], rngs: nnx.Rngs):
        self.level1 = Chain(
            {
                "conv": Conv(3, 16, 3, stride=2, rngs=rngs).conv,
                **_normalized(16, rngs),
            }
        )
        self.sample = AveragePool(3, stride=2, padding=1)
        self.b1 = _rectifier(19, rngs)
        self.level2_0 = Downsampling(19, 64, rngs=rngs)
        self.level2 = _blocks(64, blocks[0], rngs)
        self.b2 = _rectifier(131, rngs)
        self.level3_0 = Downsampling(131, 128, rngs=rngs)
        self.level3 = _blocks(128, blocks[1], rngs)
        self.b3 = _rectifier(256, rngs)
        self.classifier = Conv(256, num_classes, 1, rngs=rngs)

    def __call__(
        self, images: Float[Array, "n h w c"]
    ) -> tuple[Float[Array, "n ..."], Float[Array, "n ..."], Float[Array, "n ..."]]:
        """Return two maps on the way, and the classes at an eighth of the size."""
        half = self.sample(images)
        first = self.b1(_beside(self.level1(images), half))
        start = self.level2_0(first)
        second = self.b2(_beside(self.level2(start), start, self.sample(half)))
        start = self.level3_0(second)
        third = self.b3(_beside(start, self.level3(start)))
        return first, second, self.classifier(third)


class Decoder(nnx.Module):
    """The encoder's classes at the images' size, corrected by its earlier maps."""

    def __init__(self, num_classes: int, rngs: nnx.Rngs):
        k, up = num_classes, partial(_upsampling, num_classes, rngs)
        self.br = _norm(k, rngs)
        self.up_l3 = Chain({"0": up()})
        self.level3_C = Conv(131, k, 1, rngs=rngs)
        combine = {"0": _rectifier(2 * k, rngs), "1": Block(2 * k, k, rngs=rngs)}
        self.combine_l2_l3 = Chain(combine)
        self.up_l2 = Chain({"0": up(), "1": _rectifier(k, rngs)})
        last = {"conv": Conv(19 + k, k, 3, rngs=rngs).conv, **_normalized(k, rngs)}
        self.conv = Chain(last)
        self.classifier = up()

    def __call__(
        self,
        maps: tuple[
            Float[Array, "n ..."], Float[Array, "n ..."], Float[Array, "n ..."]
        ],
    ) -> Float[Array, "n h w k"]:
        """Return one logit per pixel and class."""
        first, second, classes = maps
        coarse = self.up_l3(self.br(classes))
        mixed = self.combine_l2_l3(_beside(self.level3_C(second), coarse))
        return self.classifier(self.conv(_beside(self.up_l2(mixed), first)))


def espnet(
    num_classes: int = 12, *, blocks: tuple[int, int] = (2, 8), rngs: nnx.Rngs
) -> Network:
    """ESPNet: spatial pyramids of dilated convolutions, and a light decoder.

    Args:
      num_classes: logits per pixel.
      blocks: pyramids at a quarter and at an eighth of the size, $p$ and $q$.
      rngs: keys of the initial weights.

    Returns:
      A network from images whose sides are multiples of 8 to `n h w k`, batch
      normalization with its running statistics. What stands in for the last spatial
      map of a classifier is `features/b3`, at an eighth of the size.

    References:
      [mehta2018espnet].
    """
    encoder, decoder = Encoder(num_classes, blocks, rngs), Decoder(num_classes, rngs)
    return Network(encoder, decoder, prefixes=("encoder.", ""))


def _beside(*maps: Float[Array, "n h w _"]) -> Float[Array, "n h w c"]:
    return jnp.concatenate(maps, axis=-1)


def _blocks(channels: int, count: int, rngs: nnx.Rngs) -> Chain:
    return Chain({str(i): Block(channels, channels, rngs=rngs) for i in range(count)})


def _normalized(channels: int, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    return {"bn": _norm(channels, rngs), "act": PReLU(channels)}


def _rectifier(channels: int, rngs: nnx.Rngs) -> Chain:
    return Chain(_normalized(channels, rngs))


def _norm(channels: int, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(channels, use_running_average=True, epsilon=1e-3, rngs=rngs)


def _upsampling(channels: int, rngs: nnx.Rngs) -> nnx.ConvTranspose:
    """Twice the size: the transpose of a 2x2 convolution of stride 2."""
    return nnx.ConvTranspose(
        channels,
        channels,
        (2, 2),
        strides=(2, 2),
        padding="VALID",
        use_bias=False,
        transpose_kernel=True,
        rngs=rngs,
    )
