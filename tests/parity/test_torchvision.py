"""The same outputs as torchvision's definitions on the same random weights.

Runs where torch and torchvision are installed beside this package:

    python -m pytest --noconftest -m parity tests/parity/test_torchvision.py
"""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xattr
from xattr.images._preprocess import Preprocess
from xattr.models import (
    Normalize,
    load_network,
    read_weights,
    to_tensors,
    with_tensors,
)
from xattr.models._presets import PRESETS
from xattr.models._vit import vit

pytestmark = pytest.mark.parity
torch = pytest.importorskip("torch", exc_type=ImportError)

SAME = Normalize((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
TORCHVISION = {
    "squeezenet1_0": "squeezenet1_0",
    "squeezenet1_1": "squeezenet1_1",
    "mobilenet_v2_torchvision": "mobilenet_v2",
    **{name: name for name in PRESETS if name.startswith(("resnet", "vgg", "vit"))},
}


@pytest.fixture(scope="module")
def torchvision():
    """Imported without its compiled operators, which must then be declared."""
    return importlib.import_module("benchmarks._torchvision").torchvision


def randomized(module, seed=0):
    """Give a torch module random weights that keep the scale of its activations."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor, scale=1.0, mean=0.0):
        values = torch.randn(tensor.shape, generator=generator)
        tensor.data.copy_(mean + scale * values)

    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            normal(layer.weight, 0.2, 1.0)
            normal(layer.bias, 0.3)
            normal(layer.running_mean, 0.3)
            layer.running_var.copy_(
                0.5 + torch.rand(layer.running_var.shape, generator=generator)
            )
        elif isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            fan_in = layer.weight[0].numel()
            normal(layer.weight, (2 / fan_in) ** 0.5)
            if layer.bias is not None:
                normal(layer.bias, 0.1)
        elif isinstance(layer, torch.nn.LayerNorm):
            normal(layer.weight, 0.2, 1.0)
            normal(layer.bias, 0.3)
        elif isinstance(layer, torch.nn.MultiheadAttention):
            normal(layer.in_proj_weight, (2 / layer.embed_dim) ** 0.5)
            normal(layer.in_proj_bias, 0.1)
    for name, parameter in module.named_parameters():
        if name in ("class_token", "encoder.pos_embedding"):
            normal(parameter, 0.3)
    return module.eval()


def images(size):
    return np.random.default_rng(0).random((2, size, size, 3), np.float32)


def outputs(module, name, path, size):
    """Logits and features of both definitions, ours read from torch's file."""
    torch.save(module.state_dict(), path)
    network = load_network(name, weights=path, normalize=SAME)
    batch = images(size)
    with jax.default_matmul_precision("highest"):
        ours = np.asarray(network(jnp.asarray(batch)))
    with torch.no_grad():
        theirs = module(torch.from_numpy(batch.transpose(0, 3, 1, 2).copy())).numpy()
    return network, ours, theirs


def assert_close(ours, theirs, atol=1e-4):
    """Within that of the largest output, which must depend on the image."""
    scale = np.abs(theirs).max()
    assert np.abs(theirs[0] - theirs[1]).max() > 1e-3 * scale
    np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=atol)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(torchvision, tmp_path, name):
    definition = getattr(torchvision.models, TORCHVISION[name])
    module = randomized(
        definition(weights=None, init_weights=False)
        if name.startswith("vgg")
        else definition(weights=None)
    )
    network, ours, theirs = outputs(module, name, tmp_path / "w.pt", 224)
    assert_close(ours, theirs, 1e-5 if name.startswith("vit") else 1e-4)
    back = {key: torch.from_numpy(x) for key, x in to_tensors(network).items()}
    missing, surplus = module.load_state_dict(back, strict=False)
    assert not surplus
    assert all(key.endswith("num_batches_tracked") for key in missing)


def test_a_vision_transformer_of_another_size(torchvision):
    """As close as rounding allows; attention is what torch's layer says it is."""
    sizes = {"patch_size": 8, "image_size": 40, "num_heads": 4}
    module = torchvision.models.VisionTransformer(
        **sizes, num_layers=3, hidden_dim=32, mlp_dim=48, num_classes=7
    )
    randomized(module)
    build = functools.partial(vit, 7, **sizes, depth=3, width=32, hidden=48)
    network = with_tensors(
        nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))),
        {name: tensor.numpy() for name, tensor in module.state_dict().items()},
    )
    batch = images(40)
    model = xattr.from_nnx(network)
    with jax.default_matmul_precision("highest"):
        ours = np.asarray(model(jnp.asarray(batch)))
        site = xattr.program.attentions(model, jnp.asarray(batch))[1].site.name
        weights = xattr.record(model, jnp.asarray(batch), site)[site]
    read = []

    def keep(layer, arguments, _):
        tokens = arguments[0]
        read.append(layer(tokens, tokens, tokens, average_attn_weights=False)[1])

    layer = module.encoder.layers[1].self_attention
    handle = layer.register_forward_hook(lambda *args: handle.remove() or keep(*args))
    with torch.no_grad():
        theirs = module(torch.from_numpy(batch.transpose(0, 3, 1, 2).copy())).numpy()
    assert_close(ours, theirs, 1e-5)
    np.testing.assert_allclose(weights, read[0].numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg11", "squeezenet1_1", "resnet18"])
@pytest.mark.parametrize("size", [97, 160])
def test_other_sizes(torchvision, tmp_path, name, size):
    module = randomized(getattr(torchvision.models, TORCHVISION[name])(weights=None))
    _, ours, theirs = outputs(module, name, tmp_path / "w.pt", size)
    assert_close(ours, theirs)


class CifarBlock(torch.nn.Module):
    """The authors' block with shortcut A, written anew from its description."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        self.conv2 = torch.nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(width)
        self.stride, self.side = stride, (width - inputs) // 2

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        short = x[:, :, :: self.stride, :: self.stride]
        pad = (0, 0, 0, 0, self.side, self.side)
        return torch.relu(y + torch.nn.functional.pad(short, pad))


class CifarResNet(torch.nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        for stage, (inputs, width) in enumerate([(16, 16), (16, 32), (32, 64)], 1):
            stride = 1 if inputs == width else 2
            rest = [CifarBlock(width, width, 1) for _ in range(blocks - 1)]
            layer = torch.nn.Sequential(CifarBlock(inputs, width, stride), *rest)
            setattr(self, f"layer{stage}", layer)
        self.linear = torch.nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


@pytest.mark.parametrize(("depth", "blocks"), [(20, 3), (56, 9)])
def test_cifar(tmp_path, depth, blocks):
    module = randomized(CifarResNet(blocks))
    name = f"cifar10_resnet{depth}"
    _, ours, theirs = outputs(module, name, tmp_path / "w.pt", 32)
    assert_close(ours, theirs)


class FoldedMobileNet(torch.nn.Module):
    """MobileNetV2 with TensorFlow's padding, straight from a dict of tensors."""

    def __init__(self, tensors):
        super().__init__()
        self.tensors = {key: torch.from_numpy(x) for key, x in tensors.items()}

    def state_dict(self):
        return self.tensors

    def conv(self, x, name, stride=1):
        weight, bias = (self.tensors[f"{name}.{leaf}"] for leaf in ("weight", "bias"))
        size = weight.shape[-1]
        pads = []
        for length in (x.shape[3], x.shape[2]):
            total = max((-(-length // stride) - 1) * stride + size - length, 0)
            pads += [total // 2, total - total // 2]
        groups = x.shape[1] // weight.shape[1]
        x = torch.nn.functional.pad(x, pads)
        return torch.nn.functional.conv2d(x, weight, bias, stride, groups=groups)

    def forward(self, x):
        x = self.conv(x, "features.0.0", 2).clamp(0, 6)
        strides = {2: 2, 4: 2, 7: 2, 14: 2}
        for index in range(1, 18):
            y, block = x, f"features.{index}.conv"
            if index > 1:
                y = self.conv(y, f"{block}.0.0").clamp(0, 6)
            depthwise = f"{block}.{min(index - 1, 1)}.0"
            y = self.conv(y, depthwise, strides.get(index, 1)).clamp(0, 6)
            y = self.conv(y, f"{block}.{1 if index == 1 else 2}")
            x = x + y if x.shape == y.shape else y
        x = self.conv(x, "features.18.0").clamp(0, 6).mean((2, 3))
        weight, bias = (self.tensors[f"classifier.1.{v}"] for v in ("weight", "bias"))
        return x @ weight.T + bias


@pytest.mark.parametrize("size", [224, 225])
def test_mobilenet_with_same_padding(tmp_path, size):
    """On the bundled weights themselves: uneven sizes pad otherwise."""
    network = load_network("mobilenet_v2")
    module = FoldedMobileNet(to_tensors(network))
    _, ours, theirs = outputs(module, "mobilenet_v2", tmp_path / "w.pt", size)
    assert_close(ours, theirs)


def test_torch_files_of_torch(tmp_path):
    """Views, types and checkpoints as torch itself writes them."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "whole": base,
        "transposed": base.T,
        "part": base[1:3, ::2],
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "half": base.half(),
        "brain": base.bfloat16(),
        "double": base.double(),
        "long": base.long(),
        "parameter": torch.nn.Parameter(base),
    }
    torch.save({"state_dict": tensors, "epoch": 1}, tmp_path / "w.pt")
    read = read_weights(tmp_path / "w.pt")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(
            read[name].astype(np.float64), tensor.detach().double().numpy()
        )


def test_whole_modules_of_torch_are_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(ValueError, match="`torch.nn.modules.linear.Linear`.*not run"):
        read_weights(tmp_path / "w.pt")


def test_old_files_of_torch_are_refused(tmp_path):
    torch.save(
        {"a": torch.zeros(2)}, tmp_path / "w.pt", _use_new_zipfile_serialization=False
    )
    with pytest.raises(ValueError, match="before version 1.6"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("height", "width", "atol"),
    [(300, 451, 0), (451, 300, 0), (256, 256, 0), (90, 130, 0), (20, 400, 1 / 255)],
)
def test_preprocessing(torchvision, height, width, atol):
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    transforms = torchvision.transforms
    reference = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    )
    expected = reference(Image.fromarray(image)).numpy().transpose(1, 2, 0)
    result = Preprocess(size=224, resize=256)(image)
    np.testing.assert_allclose(result, expected, rtol=0, atol=atol + 1e-6)
