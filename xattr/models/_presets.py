"""What each name of a network means: architecture, input and classes."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from flax import nnx

from xattr.images._preprocess import Preprocess
from xattr.images._stretch import Stretch
from xattr.models._cifar_resnet import cifar_resnet
from xattr.models._espnet import espnet
from xattr.models._mobilenet import mobilenet_v2
from xattr.models._network import Network, Normalize
from xattr.models._resnet import resnet
from xattr.models._squeezenet import squeezenet1_0, squeezenet1_1
from xattr.models._vgg import vgg
from xattr.models._vit import vit


@dataclass(frozen=True)
class Preset:
    """How one network is built, what it takes and what it says.

    Attributes:
      build: makes the network from its number of classes and keys.
      output: torch's name of the tensor with one row per class.
      site: the last spatial block, or the last tokens that see each other: the default
        site of CAMs.
      normalize: makes what the network takes from RGB in [0, 1].
      preprocess: makes what it takes from a photograph: a square, or all of it at
        one size for a network that segments.
      labels: "imagenet1k", "inat_birds", "cifar10" or "camvid".
      bundled: whether the package has its weights.
    """

    build: Callable[..., Network]
    output: str
    site: str
    normalize: Callable[[], Normalize]
    preprocess: Preprocess | Stretch = Preprocess(size=224, resize=256)
    labels: str = "imagenet1k"
    bundled: bool = False

    def abstract(
        self, num_classes: int, *, normalize: Normalize | None = None
    ) -> Network:
        """Return the network with shapes in place of values: nothing is drawn."""

        def build() -> Network:
            network = self.build(num_classes, rngs=nnx.Rngs(0))
            network.normalize = normalize or self.normalize()
            return network

        return nnx.eval_shape(build)


_imagenet = partial(Normalize, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_halves = partial(Normalize, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_caffe = partial(
    Normalize,
    (104 / 255, 117 / 255, 123 / 255),
    (1 / 255, 1 / 255, 1 / 255),
    channels="BGR",
)
# Of the 367 training frames of CamVid.
_camvid = partial(
    Normalize,
    (110.33134258 / 255, 108.40914603 / 255, 105.03352311 / 255),
    (72.12519708, 72.68854342, 69.90261427),
    channels="BGR",
)
_CAFFE_INPUT = Preprocess(size=227, resize=256)


def _vgg(depth: int, norm: bool) -> Preset:
    layers = depth - 3 + 5 + (depth - 3) * (2 if norm else 1)
    return Preset(
        partial(vgg, depth=depth, norm=norm),
        output="classifier.6.weight",
        site=f"features/{layers - 2}",
        normalize=_imagenet,
    )


def _resnet(depth: int, last: int) -> Preset:
    return Preset(
        partial(resnet, depth=depth),
        output="fc.weight",
        site=f"features/layer4/{last}",
        normalize=_imagenet,
    )


def _cifar(depth: int) -> Preset:
    return Preset(
        partial(cifar_resnet, depth=depth),
        output="linear.weight",
        site=f"features/layer3/{(depth - 2) // 6 - 1}",
        normalize=_imagenet,
        preprocess=Preprocess(size=32, resize=32),
        labels="cifar10",
    )


def _vit(patch_size: int) -> Preset:
    return Preset(
        partial(vit, patch_size=patch_size),
        output="heads.head.weight",
        site="features/encoder/layers/encoder_layer_11/ln_1",
        normalize=_imagenet,
    )


_squeezenet = partial(Preset, output="classifier.1.weight", site="features/12")
_mobilenet = partial(Preset, output="classifier.1.weight", site="features/18")
_folded = partial(mobilenet_v2, padding="SAME", norm=False)

PRESETS: dict[str, Preset] = {
    "mobilenet_v2": _mobilenet(_folded, normalize=_halves, bundled=True),
    "mobilenet_v2_inat_birds": _mobilenet(
        _folded, normalize=_halves, labels="inat_birds"
    ),
    "mobilenet_v2_torchvision": _mobilenet(mobilenet_v2, normalize=_imagenet),
    "squeezenet1_1": _squeezenet(
        squeezenet1_1, normalize=_caffe, preprocess=_CAFFE_INPUT, bundled=True
    ),
    "squeezenet1_1_torchvision": _squeezenet(squeezenet1_1, normalize=_imagenet),
    "squeezenet1_0": _squeezenet(squeezenet1_0, normalize=_imagenet),
    "squeezenet1_0_pruned": _squeezenet(
        squeezenet1_0, normalize=_caffe, preprocess=_CAFFE_INPUT
    ),
    **{
        f"resnet{depth}": _resnet(depth, last)
        for depth, last in ((18, 1), (34, 2), (50, 2), (101, 2), (152, 2))
    },
    **{f"vgg{depth}": _vgg(depth, norm=False) for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}_bn": _vgg(depth, norm=True) for depth in (11, 13, 16, 19)},
    **{f"vit_b_{patch_size}": _vit(patch_size) for patch_size in (16, 32)},
    **{f"cifar10_resnet{depth}": _cifar(depth) for depth in (20, 56)},
    "espnet_camvid": Preset(
        espnet,
        output="classifier.weight",
        site="features/b3",
        normalize=_camvid,
        preprocess=Stretch(height=360, width=480),
        labels="camvid",
    ),
}


def find_preset(name: str) -> Preset:
    """Find a network by name."""
    if name in PRESETS:
        return PRESETS[name]
    nearest = difflib.get_close_matches(str(name), PRESETS, n=3, cutoff=0.3)
    raise ValueError(
        f"`name`={name!r} is not a network of this package. Nearest: "
        f"{', '.join(nearest or PRESETS)}. List all with `xattr.models.names()`."
    )
