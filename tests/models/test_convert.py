import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from xattr.models import load_network, read_weights, to_tensors, with_tensors
from xattr.models._cifar_resnet import cifar_resnet
from xattr.models._convert import torch_shapes
from xattr.models._mobilenet import mobilenet_v2
from xattr.models._resnet import resnet
from xattr.models._vgg import vgg


@pytest.fixture(scope="module")
def network():
    shapes = nnx.eval_shape(lambda: cifar_resnet(4, depth=8, rngs=nnx.Rngs(0)))
    noise = np.random.default_rng(0)
    values = {
        name: noise.random(shape, np.float32)
        for name, shape in torch_shapes(shapes).items()
    }
    return with_tensors(shapes, values)


@pytest.fixture
def tensors(network):
    return to_tensors(network)


def test_round_trip(network, tensors):
    noise = np.random.default_rng(1)
    changed = {
        name: noise.normal(size=value.shape).astype(np.float32)
        for name, value in tensors.items()
    }
    again = to_tensors(with_tensors(network, changed))
    assert again.keys() == changed.keys()
    for name, value in changed.items():
        np.testing.assert_array_equal(again[name], value)


def test_layout(network, tensors):
    """O I H W becomes H W I O, [out, in] becomes [in, out]."""
    assert tensors["conv1.weight"].shape == (16, 3, 3, 3)
    kernel = network.features.conv1.kernel[...]
    np.testing.assert_array_equal(
        tensors["conv1.weight"][5, 2, 0, 1], kernel[0, 1, 2, 5]
    )
    assert tensors["linear.weight"].shape == (4, 64)
    weight = network.head.linear.kernel[...]
    np.testing.assert_array_equal(tensors["linear.weight"][3, 60], weight[60, 3])


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (
            lambda: resnet(depth=50, rngs=nnx.Rngs(0)),
            {
                "bn1.running_mean": (64,),
                "layer2.0.downsample.0.weight": (512, 256, 1, 1),
                "layer4.2.bn3.running_var": (2048,),
                "fc.bias": (1000,),
            },
        ),
        (
            lambda: mobilenet_v2(rngs=nnx.Rngs(0)),
            {
                "features.0.1.running_mean": (32,),
                "features.1.conv.0.0.weight": (32, 1, 3, 3),
                "features.17.conv.3.weight": (320,),
                "features.18.0.weight": (1280, 320, 1, 1),
                "classifier.1.weight": (1000, 1280),
            },
        ),
        (
            lambda: vgg(depth=11, norm=True, rngs=nnx.Rngs(0)),
            {
                "features.1.running_var": (64,),
                "features.25.weight": (512, 512, 3, 3),
                "classifier.6.weight": (1000, 4096),
            },
        ),
    ],
)
def test_names_and_shapes_are_torchvisions(build, expected):
    assert expected.items() <= torch_shapes(nnx.eval_shape(build)).items()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, jnp.bfloat16])
def test_other_floating_types_become_float32(network, tensors, dtype):
    tensors = {name: value.astype(dtype) for name, value in tensors.items()}
    loaded = to_tensors(with_tensors(network, tensors))
    for name, value in loaded.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, tensors[name].astype(np.float32))


def test_counters_and_the_parallel_prefix_are_dropped(network, tensors):
    disguised = {f"module.{name}": value for name, value in tensors.items()}
    disguised["module.bn1.num_batches_tracked"] = np.array(7)
    loaded = to_tensors(with_tensors(network, disguised))
    for name, value in tensors.items():
        np.testing.assert_array_equal(loaded[name], value)


def test_all_faults_are_named_at_once(network, tensors):
    del tensors["bn1.bias"]
    tensors["conv1.weight"] = np.zeros((16, 1, 3, 3), np.float32)
    tensors["stranger"] = np.zeros((2, 3), np.float32)
    expected = (
        r"1 missing: bn1.bias \(16,\); 1 surplus: stranger \(2, 3\); 1 misshapen: "
        r"conv1.weight \(16, 1, 3, 3\) instead of \(16, 3, 3, 3\)\."
    )
    with pytest.raises(ValueError, match=expected):
        with_tensors(network, tensors)


def test_long_lists_are_cut(network):
    with pytest.raises(ValueError, match=r"bn1.running_mean \(16,\), .* and \d+ more"):
        with_tensors(network, {})


def test_whole_numbers_are_refused(network, tensors):
    tensors["bn1.bias"] = np.zeros(16, np.int8)
    with pytest.raises(TypeError, match=r"1 are not: bn1.bias \(int8\)"):
        with_tensors(network, tensors)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_refused(network, tensors, value):
    tensors["bn1.bias"] = np.full(16, value)
    with pytest.raises(ValueError, match=r"NaN or infinity: bn1.bias"):
        with_tensors(network, tensors)


def test_written_weights_are_read_again(network, tensors, tmp_path):
    from safetensors.numpy import save_file

    save_file(tensors, tmp_path / "w.safetensors")
    again = read_weights(tmp_path / "w.safetensors")
    for name, value in tensors.items():
        np.testing.assert_array_equal(again[name], value)
    # Layers are named by depth, so a network of eight does not fit one of twenty.
    with pytest.raises(ValueError, match="missing: layer1.1.bn1.bias"):
        load_network("cifar10_resnet20", weights=tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a safetensors nor a torch file"),
        (b"not weights at all", "neither a safetensors nor a torch file"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "before version 1.6"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{", "not a whole safetensors file"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{", "not a whole safetensors file"),
        (b"PK\x03\x04 and then nothing", "not a whole torch file"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_weights(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a file"):
        read_weights(tmp_path / "nowhere.pt")
    with pytest.raises(FileNotFoundError, match="is not a file"):
        read_weights(tmp_path)
