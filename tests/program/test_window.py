"""The local update gives what evaluating every changed image gives."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xattr
from tests.apart import slow_but
from xattr import models
from xattr.models._presets import PRESETS
from xattr.program import Boxes, local_savings, rewrite

ARCHITECTURES = ["cifar10_resnet20"]


def sliding(sizes, window, stride):
    """All positions of a window, cut short at the far borders, as `p 2 a`."""
    starts = [np.arange(0, size, stride) for size in sizes]
    low = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, len(sizes))
    return np.stack([low, np.minimum(low + window, sizes)], axis=1)


def one_by_one(model, images, windows, fill):
    """The plain way: every changed image through the whole model."""
    run, fill = jax.jit(model), np.broadcast_to(fill, images.shape)
    results = []
    for (top, left), (bottom, right) in windows:
        changed = np.array(images)
        changed[:, top:bottom, left:right] = fill[:, top:bottom, left:right]
        results.append(np.asarray(run(changed)))
    return np.stack(results, axis=1)


def updated(model, images, windows, **options):
    """The way under test, as one program: operation by operation it compiles each."""
    return jax.jit(lambda x: xattr.local_update(model, x, windows, **options))(images)


def assert_close(found, expected, tolerance=1e-5):
    found, expected = np.asarray(found), np.asarray(expected)
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def conv(x, kernel, strides=(1, 1), padding: Any = "SAME", **options):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        **options,
    )


def normal(seed, *shape) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def kernel(seed, rows, columns, inside, outside) -> Any:
    scale = np.float32((rows * columns * inside) ** -0.5)
    return scale * normal(seed, rows, columns, inside, outside)


# Operations that keep 4 channels and the number of axes; each takes `n h w 4`.
def _pool(operation, start, taps, stride, padding):
    def run(x, _):
        return jax.lax.reduce_window(
            x, start, operation, (1, *taps, 1), (1, stride, stride, 1), padding
        )

    return run


OPERATIONS = {
    "conv 3x3": lambda x, k: conv(x, kernel(k, 3, 3, 4, 4)),
    "conv 5x3, stride 2, valid": lambda x, k: conv(
        x, kernel(k, 5, 3, 4, 4), (2, 1), "VALID"
    ),
    "conv 3x3, stride 2": lambda x, k: conv(x, kernel(k, 3, 3, 4, 4), (2, 2)),
    "conv 1x1, stride 3": lambda x, k: conv(x, kernel(k, 1, 1, 4, 4), (3, 3)),
    "dilated": lambda x, k: conv(x, kernel(k, 3, 3, 4, 4), rhs_dilation=(2, 1)),
    "grouped": lambda x, k: conv(x, kernel(k, 3, 3, 2, 4), feature_group_count=2),
    "depthwise": lambda x, k: conv(x, kernel(k, 3, 3, 1, 4), feature_group_count=4),
    "transposed": lambda x, k: conv(
        x, kernel(k, 3, 3, 4, 4), padding=((1, 2), (1, 1)), lhs_dilation=(2, 2)
    ),
    "max pool": _pool(jax.lax.max, -jnp.inf, (3, 3), 2, "SAME"),
    "max pool 2": _pool(jax.lax.max, -jnp.inf, (2, 2), 2, "VALID"),
    "mean pool": lambda x, k: _pool(jax.lax.add, 0.0, (2, 3), 1, "SAME")(x, k) / 6,
    "relu": lambda x, k: jax.nn.relu(x),
    "gelu": lambda x, k: jax.nn.gelu(x),
    "batch norm": lambda x, k: (
        (x - jnp.arange(4.0).reshape(1, 1, 1, 4)) * normal(k, 1, 1, 1, 4)
    ),
    "residual": lambda x, k: x + conv(jax.nn.relu(x), kernel(k, 3, 3, 4, 4)),
    "concatenate": lambda x, k: jnp.concatenate(
        [x[..., :2], conv(x, kernel(k, 3, 3, 4, 2))], axis=-1
    ),
    "pad": lambda x, k: jnp.pad(x, ((0, 0), (2, 1), (0, 3), (0, 0))),
    "pad channels": lambda x, k: jnp.pad(x, ((0, 0),) * 3 + ((1, 2),))[..., 2:6],
    "pad one channel": lambda x, k: jnp.pad(x[..., :1], ((0, 0),) * 3 + ((0, 3),)),
    "pool channels": lambda x, k: jax.lax.reduce_window(
        x, 0.0, jax.lax.add, (1, 1, 1, 2), (1, 1, 1, 1), "SAME"
    ),
    "crop": lambda x, k: x[:, 1:, :-1] if min(x.shape[1:3]) > 3 else x,
    "every other": lambda x, k: x[:, ::2, 1::2] if min(x.shape[1:3]) > 3 else x,
    "flip channels": lambda x, k: x[..., ::-1],
    "flip rows": lambda x, k: x[:, ::-1],
    "layer norm": lambda x, k: (
        (x - x.mean(-1, keepdims=True)) / (1 + x.std(-1, keepdims=True))
    ),
    "channels first": lambda x, k: jax.lax.conv_general_dilated(
        x.transpose(0, 3, 1, 2),
        kernel(k, 3, 3, 4, 4).transpose(3, 2, 0, 1),
        (1, 1),
        "SAME",
    ).transpose(0, 2, 3, 1),
    "merge and part rows": lambda x, k: jnp.tanh(
        x.reshape(x.shape[0], -1, x.shape[3])
    ).reshape(x.shape),
    "squeeze and excite": lambda x, k: (
        x * jax.nn.sigmoid(x.mean((1, 2), keepdims=True))
    ),
    "attention": lambda x, k: jnp.einsum(
        "npq,nqc->npc",
        jax.nn.softmax(_flat(x) @ _flat(x).transpose(0, 2, 1) / 4),
        _flat(x),
    ).reshape(x.shape),
    "loop": lambda x, k: jax.lax.fori_loop(0, 2, lambda _, y: jnp.sin(y), x),
    "cumulative sum of channels": lambda x, k: jnp.cumsum(x, axis=-1),
    "cumulative sum of rows": lambda x, k: jnp.cumsum(x, axis=1) / 8,
    "position": lambda x, k: x + jnp.arange(x.shape[1])[None, :, None, None] / 8,
    "1x1 as a product": lambda x, k: x @ kernel(k, 1, 1, 4, 4)[0, 0],
}


def _flat(x):
    return x.reshape(x.shape[0], -1, x.shape[3])


def network(names):
    def model(x):
        x = conv(x, kernel(len(names), 3, 3, 3, 4))
        for seed, name in enumerate(names):
            x = OPERATIONS[name](x, seed)
        return x.sum((1, 2)) @ np.eye(4, 3, dtype=np.float32)

    return model


# Others are like them: all are in networks of any operations.
LIKE_OTHERS = {
    "conv 3x3",
    "conv 3x3, stride 2",
    "conv 1x1, stride 3",
    "depthwise",
    "max pool 2",
    "mean pool",
    "relu",
    "gelu",
    "batch norm",
    "pad channels",
    "pad one channel",
    "every other",
    "flip channels",
    "cumulative sum of channels",
    "1x1 as a product",
}


@pytest.mark.parametrize("name", slow_but(OPERATIONS, OPERATIONS.keys() - LIKE_OTHERS))
def test_every_operation(name):
    model = network([name, "conv 3x3", name])
    images = normal(0, 2, 11, 14, 3)
    windows = sliding((11, 14), 3, 4)
    found = updated(model, images, windows, baseline=0.25)
    assert_close(found, one_by_one(model, images, windows, 0.25))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(OPERATIONS)), min_size=1, max_size=5),
    st.integers(6, 15),
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from([None, 1, 5]),
)
def test_networks_of_any_operations(names, size, window, stride, chunk_size):
    model = network(names)
    images = jax.random.normal(jax.random.key(size), (2, size, size + 2, 3))
    fill = jax.random.normal(jax.random.key(1), images.shape)
    windows = sliding(images.shape[1:3], window, stride)
    found = updated(model, images, windows, baseline=fill, chunk_size=chunk_size)
    assert_close(found, one_by_one(model, images, windows, fill))


def check_architecture(name, size, chunk_sizes):
    model = xattr.from_nnx(models.untrained(name))
    images, fill = jax.random.uniform(jax.random.key(0), (2, 2, size, size, 3))
    windows = sliding((size, size), size // 4, size // 3 + 2)
    saved = local_savings(model, images[:1], Boxes(windows[:, 0], windows[:, 1]))
    assert saved.factor > 1.1

    def found(x, chunk_size):
        return xattr.local_update(
            model, x, windows, baseline=fill, chunk_size=chunk_size
        )

    expected = one_by_one(model, images, windows, fill)
    for chunk_size in chunk_sizes:
        assert_close(jax.jit(found, static_argnums=1)(images, chunk_size), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures(name):
    check_architecture(name, 32, (5,))


# One depth of each kind: the others repeat the same blocks.
REPEATED = ("resnet101", "resnet152", "cifar10_resnet56", "squeezenet1_0_pruned")
REPEATED += ("vgg11", "vgg13", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")
REPEATED += ("squeezenet1_0", "squeezenet1_1_torchvision", "mobilenet_v2_inat_birds")
# Dilated filters see all of so small an image, and attention all of any.
WIDE = ("espnet_camvid", "vit_b_16", "vit_b_32")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(models.names()) - {*REPEATED, *WIDE}))
def test_every_architecture(name):
    check_architecture(name, 96, (None, 5))


@pytest.mark.slow
def test_it_need_not_be_compiled():
    model = network(["residual", "max pool"])
    images = normal(2, 1, 12, 12, 3)
    windows = sliding((12, 12), 3, 4)
    found = xattr.local_update(model, images, windows)
    assert_close(found, one_by_one(model, images, windows, 0.0))


def test_windows_of_different_sizes_and_places():
    model = network(["residual", "max pool", "conv 3x3"])
    images = normal(2, 1, 12, 12, 3)
    windows = np.array([[[0, 0], [1, 12]], [[3, 5], [9, 6]], [[11, 11], [12, 12]]])
    found = updated(model, images, windows, baseline=images[:, ::-1])
    assert_close(found, one_by_one(model, images, windows, images[:, ::-1]))


def test_it_computes_what_it_says():
    def model(x):
        return conv(x, jnp.ones((3, 3, 3, 8)), padding="SAME").sum((1, 2))

    boxes = Boxes(np.array([[4, 4]]), np.array([[6, 7]]))
    saved = local_savings(model, jnp.zeros((1, 16, 16, 3)), boxes)
    # The box of 2 x 3 reaches 4 x 5 results of 27 multiply-adds in 8 channels.
    assert saved == (16 * 16 * 27 * 8, 4 * 5 * 27 * 8)


def test_where_nothing_is_saved_the_whole_is_evaluated(caplog):
    images = jnp.ones((1, 8, 8, 3))
    with caplog.at_level("INFO", "xattr"):
        updated(network(["attention"]), images, sliding((8, 8), 8, 8))
        assert "done whole" in caplog.text
        updated(network(["conv 3x3"]), images, sliding((8, 8), 1, 4))
        assert "done locally" in caplog.text


@pytest.mark.parametrize("plain_first", [True, False])
def test_a_rewritten_model_is_read_as_it_was(plain_first):
    model = jax.jit(rewrite(network(["conv 3x3", "max pool", "conv 3x3"])))
    images, windows = jnp.ones((1, 12, 12, 3)), sliding((12, 12), 2, 5)
    calls = [
        lambda: model(images),
        lambda: local_savings(model, images, Boxes(windows[:, 0], windows[:, 1])),
    ]
    first, second = (call() for call in calls[:: 1 if plain_first else -1])
    assert (second if plain_first else first).factor > 1.2
    text = str(jax.make_jaxpr(lambda x: model(x))(images))
    assert "xattr_conv" in text
    found = updated(model, images, windows, baseline=0.5)
    assert_close(found, one_by_one(model, images, windows, 0.5))


def test_integers_and_half_precision():
    model = network(["max pool", "relu"])
    images = jnp.asarray(normal(0, 1, 12, 12, 3))
    windows = sliding((12, 12), 3, 5)
    exact = updated(model, images, windows)

    def half(x):
        return model(x.astype(jnp.float32)).astype(x.dtype)

    found = updated(half, images.astype(jnp.bfloat16), windows)
    assert found.dtype == jnp.bfloat16
    assert_close(found.astype(jnp.float32), exact, 2e-2)

    def whole_numbers(x):
        counts = jnp.round(4 * x).astype(jnp.int32)
        taps = np.arange(9 * 3 * 2, dtype=np.int32).reshape(3, 3, 3, 2)
        y = conv(counts, taps)
        y = jax.lax.reduce_window(
            y, -(2**31), jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        )
        return y.sum((1, 2))

    found = updated(whole_numbers, images, windows)
    assert jnp.array_equal(found, one_by_one(whole_numbers, images, windows, 0.0))


def test_images_of_other_ranks():
    weights = normal(0, 3, 2, 4)

    def model(x):
        y = jax.lax.conv_general_dilated(
            x, weights, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )
        return jax.nn.relu(y).sum(1)

    signals = normal(1, 2, 20, 2)
    windows = np.array([[[0], [2]], [[7], [12]]])
    found = updated(model, signals, windows)
    pixel = np.arange(20)[:, None]
    expected = [
        jax.jit(model)(np.where((pixel >= a) & (pixel < b), np.float32(0), signals))
        for (a,), (b,) in windows
    ]
    assert_close(found, np.stack(expected, axis=1))


def test_bad_windows_are_refused():
    model, images = network(["relu"]), jnp.ones((1, 8, 8, 3))
    with pytest.raises(TypeError, match="`windows` is float64.*whole pixels"):
        xattr.local_update(model, images, np.zeros((1, 2, 2)))
    with pytest.raises(TypeError, match="`windows` is traced"):
        jax.jit(lambda w: xattr.local_update(model, images, w))(np.ones((1, 2, 2), int))
    with pytest.raises(ValueError, match=r"`windows` has shape \(2, 2\).*`p 2 2`"):
        xattr.local_update(model, images, np.zeros((2, 2), int))
    with pytest.raises(ValueError, match=r"`windows` reaches from 0 to \[9, 8\]"):
        xattr.local_update(model, images, np.array([[[0, 0], [9, 8]]]))


@pytest.mark.parametrize("names", [["conv 3x3"], ["residual", "max pool", "dilated"]])
@pytest.mark.parametrize("unit", [(0, 0), (2, 3), (5, 1)])
def test_receptive_field_is_where_the_gradient_is(names, unit):
    layers = network(names)

    def model(x):
        return layers(x)

    shape = (1, 14, 17, 3)
    site = [s for s in xattr.sites(model, jnp.zeros(shape)) if s.axes == "nhwc"][
        -1
    ].name
    found = xattr.receptive_field(model, jnp.zeros(shape), site, unit)

    def total(x):
        return xattr.record(model, x, site)[site][0, unit[0], unit[1]].sum()

    # Many images, so that no pixel is left out by a maximum or a ReLU.
    slopes = jax.jit(jax.grad(total))
    reached = np.zeros(shape[1:3], bool)
    for seed in range(40):
        reached |= np.abs(slopes(normal(seed, *shape))[0]).sum(-1) > 0
    rows, columns = np.flatnonzero(reached.any(1)), np.flatnonzero(reached.any(0))
    assert found == ((rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1))


def test_receptive_field_of_vgg():
    model = xattr.from_nnx(PRESETS["vgg16"].abstract(3))
    images: Any = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    relus = [
        s
        for s in xattr.sites(model, images)
        if s.operation == "relu" and s.axes == "nhwc"
    ]
    last = relus[-1]
    assert last.shape[1:3] == (14, 14)
    # 196 pixels, 16 apart: r + (k - 1) j over 13 convolutions and 4 poolings.
    assert xattr.receptive_field(model, images, last.name, (7, 7)) == (
        (22, 218),
        (22, 218),
    )
    with pytest.raises(ValueError, match=r"`unit`=\(14, 0\).*places"):
        xattr.receptive_field(model, images, last.name, (14, 0))


def test_receptive_field_of_what_no_pixel_reaches():
    def model(x):
        return jax.nn.relu(jnp.ones((1, 4, 4, 2)) + 0 * x.sum()).sum((1, 2))

    def constant(x):
        return (jax.nn.relu(x[:, :, 3:]) * 2).sum((1, 2))

    images = jnp.ones((1, 6, 6, 2))
    assert xattr.receptive_field(model, images, "relu:0", (1, 1), axes="nhwc") == (
        (0, 6),
        (0, 6),
    )
    assert xattr.receptive_field(constant, images, "relu:0", (0, 0), axes="nhwc") == (
        (0, 1),
        (3, 4),
    )
    with pytest.raises(ValueError, match="one spatial axis less or more"):
        xattr.receptive_field(model, jnp.ones((1, 6)), "relu:0", (0,))
