import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.apart import apart
from xattr.models._cifar_resnet import cifar_resnet
from xattr.models._layers import AdaptiveAveragePool, FlattenChannelsFirst, MaxPool
from xattr.models._mobilenet import _Maker, mobilenet_v2
from xattr.models._network import Chain, Normalize
from xattr.models._presets import PRESETS
from xattr.models._untrained import untrained

# Weights and biases of the published definitions.
PARAMETERS = {
    "mobilenet_v2": 3487816,
    "mobilenet_v2_torchvision": 3504872,
    "squeezenet1_0": 1248424,
    "squeezenet1_1": 1235496,
    "resnet18": 11689512,
    "resnet34": 21797672,
    "resnet50": 25557032,
    "resnet101": 44549160,
    "resnet152": 60192808,
    "vgg11": 132863336,
    "vgg13": 133047848,
    "vgg16": 138357544,
    "vgg19": 143667240,
    "vgg11_bn": 132868840,
    "vgg13_bn": 133053736,
    "vgg16_bn": 138365992,
    "vgg19_bn": 143678248,
    "cifar10_resnet20": 269722,
    "cifar10_resnet56": 853018,
    "espnet_camvid": 354517,
}


def abstract(name, **kwargs):
    return nnx.eval_shape(lambda: PRESETS[name].build(**kwargs, rngs=nnx.Rngs(0)))


# The same blocks as in another of these, more of them.
DEEPER = ("resnet34", "resnet101", "resnet152", "vgg13", "vgg13_bn", "vgg19_bn")
DEEPER += ("cifar10_resnet56",)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in DEEPER else ())
        for name in PARAMETERS
    ],
)
def test_number_of_parameters(name):
    parameters = jax.tree.leaves(nnx.state(abstract(name), nnx.Param))
    assert sum(leaf.size for leaf in parameters) == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("mobilenet_v2", (7, 7, 1280)),
        apart("mobilenet_v2_torchvision", (7, 7, 1280)),
        ("squeezenet1_0", (13, 13, 512)),
        ("squeezenet1_1", (13, 13, 512)),
        ("resnet18", (7, 7, 512)),
        apart("resnet50", (7, 7, 2048)),
        ("vgg11", (7, 7, 512)),
        ("vgg16_bn", (7, 7, 512)),
        ("cifar10_resnet20", (8, 8, 64)),
    ],
)
def test_features_and_head_make_the_network(name, grid):
    side = 32 if name.startswith("cifar") else 224
    network = abstract(name, num_classes=5)
    definition, state = nnx.split(network)

    def parts(state, images):
        network = nnx.merge(definition, state)
        features = network.features(images)
        return features, network.head(features), network(images)

    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    features, logits, whole = jax.eval_shape(parts, state, images)
    assert features.shape == (2, *grid)
    assert logits.shape == whole.shape == (2, 5)


def test_vgg_takes_other_sizes():
    definition, state = nnx.split(abstract("vgg11", num_classes=3))
    images = jax.ShapeDtypeStruct((1, 96, 160, 3), jnp.float32)
    logits = jax.eval_shape(
        lambda state, images: nnx.merge(definition, state)(images), state, images
    )
    assert logits.shape == (1, 3)


@pytest.mark.parametrize("length", [1, 3, 7, 10, 14])
def test_adaptive_pool_averages_each_window(length):
    x = np.random.default_rng(0).normal(size=(1, length, 9, 2)).astype(np.float32)
    expected = np.zeros((1, 7, 7, 2))
    for i in range(7):
        for j in range(7):
            rows = slice(i * length // 7, -(-(i + 1) * length // 7))
            columns = slice(j * 9 // 7, -(-(j + 1) * 9 // 7))
            expected[:, i, j] = x[:, rows, columns].mean((1, 2))
    pooled = AdaptiveAveragePool(7)(jnp.asarray(x))
    np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("length", "padding", "ceil_mode", "expected"),
    [
        (5, 0, True, [2, 4]),
        (6, 0, True, [2, 4, 5]),
        (6, 0, False, [2, 4]),
        (5, 1, False, [1, 3, 4]),
        (2, 0, True, [1]),
    ],
)
def test_max_pool_of_a_ramp(length, padding, ceil_mode, expected):
    """Windows of 3, two apart: each gives its last position inside."""
    ramp = jnp.arange(float(length))[None, :, None, None]
    image = jnp.broadcast_to(ramp, (1, length, length, 1))
    pool = MaxPool(3, stride=2, padding=padding, ceil_mode=ceil_mode)
    pooled = pool(image)[0, :, 0, 0]
    np.testing.assert_array_equal(pooled, expected)


def test_flatten_has_channels_slowest():
    x = jnp.arange(8.0).reshape(1, 2, 2, 2)
    flat = FlattenChannelsFirst()(x)
    np.testing.assert_array_equal(flat, [[0, 2, 4, 6, 1, 3, 5, 7]])


def test_chain_applies_in_order_of_insertion():
    chain = Chain({"b": lambda x: x + 1, "a": lambda x: x * 10})
    assert chain(jnp.ones((1, 1))).item() == 20


def test_normalize_reverses_for_caffe():
    normalize = Normalize((0.1, 0.2, 0.3), (1.0, 1.0, 0.5), channels="BGR")
    red = jnp.array([[[[1.0, 0.0, 0.0]]]])
    np.testing.assert_allclose(
        normalize(red)[0, 0, 0], [-0.1, -0.2, (1 - 0.3) / 0.5], rtol=1e-6
    )


def test_same_padding_sees_other_pixels_than_torch():
    """Stride 2 on even sizes pads only at the end, so the first window differs."""
    makers = [_Maker(padding, False, nnx.Rngs(0)) for padding in ("SAME", "torch")]
    pixel = jnp.zeros((1, 8, 8, 3)).at[0, 2, 2].set(1.0)
    same, torch = (make.filter(3, 32, 3, stride=2)(pixel) for make in makers)
    assert same[0, 0, 0].any()
    assert not torch[0, 0, 0].any()


def test_batch_statistics_are_frozen():
    network = untrained("cifar10_resnet20", num_classes=4)
    apply = nnx.jit(lambda network, images: network(images))
    one = apply(network, jnp.ones((1, 8, 8, 3)))
    two = apply(network, jnp.stack([jnp.ones((8, 8, 3)), jnp.zeros((8, 8, 3))]))
    np.testing.assert_allclose(one[0], two[0], rtol=1e-5)


def test_unknown_settings_are_refused():
    with pytest.raises(ValueError, match="`padding`='same' is not a padding rule"):
        mobilenet_v2(padding="same", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="`depth`=21 is not 6 m"):
        cifar_resnet(depth=21, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="`channels`='GRB' is not an order"):
        Normalize((0, 0, 0), (1, 1, 1), channels="GRB")
