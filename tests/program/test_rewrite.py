import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xattr
from tests.apart import apart
from xattr.program import rewrite

GRID = [
    # kernel, stride, dilation, padding, depthwise
    ((3, 3), (2, 3), 1, ((2, 0), (1, 4)), True),
    apart((2, 5), 3, 1, "VALID", True),
    ((7, 7), 2, 1, "SAME", False),
    apart((3, 3), 2, 1, ((0, 1), (0, 1)), False),
    ((3, 3), 1, 1, "VALID", False),
    ((3, 3), 1, 2, "SAME", False),
    apart((4, 3), (3, 2), 1, ((3, 1), (2, 0)), False),
    apart((2, 2), 3, 1, "VALID", False),
    ((3, 3), 2, 2, "SAME", False),
    ((3, 3), 1, 1, "SAME", True),
    apart((3, 3), 2, 1, "SAME", True),
    apart((5, 3), (2, 1), 1, "VALID", True),
    ((3, 3), 1, 2, ((2, 1), (0, 3)), True),
    apart((1, 1), 1, 1, "SAME", False),
    ((1, 1), 2, 1, "VALID", False),
    apart((3, 3), 1, 1, "SAME", False),
]


@pytest.mark.parametrize(("kernel", "stride", "dilation", "padding", "depthwise"), GRID)
def test_same_outputs_gradients_and_site_names(
    key, kernel, stride, dilation, padding, depthwise
):
    channels = 18
    module = nnx.Conv(
        channels,
        channels,
        kernel,
        strides=stride,
        kernel_dilation=dilation,
        padding=padding,
        feature_group_count=channels if depthwise else 1,
        rngs=nnx.Rngs(0),
    )
    model = xattr.from_nnx(module)
    x = jax.random.normal(key, (2, 9, 11, channels))
    fast = rewrite(model)

    @jax.jit
    def outputs_and_gradient(model, x):
        outputs, back = jax.vjp(lambda x: model(x), x)
        return outputs, back(2 * outputs)[0]

    expected, gradient = outputs_and_gradient(model, x)
    found, fast_gradient = outputs_and_gradient(fast, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(fast_gradient, gradient, rtol=1e-5, atol=1e-4)
    assert [s.name for s in xattr.sites(fast, x)] == [
        s.name for s in xattr.sites(model, x)
    ]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((4, 4), 4, "VALID"),
        apart((7, 7), 2, "SAME"),
        ((3, 5), (2, 3), ((2, 0), (1, 4))),
        apart((2, 2), (3, 4), "VALID"),
    ],
)
def test_gradients_of_colors(key, kernel, stride, padding):
    """Phases of few channels are computed together."""
    module = nnx.Conv(3, 5, kernel, strides=stride, padding=padding, rngs=nnx.Rngs(0))
    model = xattr.from_nnx(module)
    x = jax.random.normal(key, (2, 9, 14, 3))

    def score(model, x):
        return (model(x) ** 2).sum()

    gradient = jax.jit(jax.grad(score, 1))
    found, wanted = (gradient(m, x) for m in (rewrite(model), model))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_gradients_of_large_patches_are_small_programs():
    module = nnx.Conv(3, 5, (32, 32), strides=32, padding="VALID", rngs=nnx.Rngs(0))
    fast = rewrite(xattr.from_nnx(module))
    program = jax.make_jaxpr(jax.grad(lambda x: fast(x).sum()))(
        jnp.ones((1, 64, 64, 3))
    )
    assert str(program).count(" = ") < 100


def test_depthwise_convolutions_are_replaced():
    module = nnx.Conv(4, 4, (3, 3), feature_group_count=4, rngs=nnx.Rngs(0))
    model = rewrite(xattr.from_nnx(module))
    text = str(jax.make_jaxpr(lambda x: model(x))(jnp.ones((1, 8, 8, 4))))
    assert "conv_general_dilated" not in text


def convolution(x, kernel, **options):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
    )


@pytest.mark.parametrize("result", [None, jnp.float32])
@pytest.mark.parametrize(
    ("shape", "groups"),
    [((5, 5, 1, 4), 4), ((1, 1, 4, 4), 1), apart((3, 3, 16, 16), 1)],
)
def test_half_precision_keeps_its_result_type_and_its_accuracy(
    key, shape, groups, result
):
    x, kernel = (
        jax.random.normal(k, s, jnp.bfloat16)
        for k, s in zip(
            jax.random.split(key), [(2, 9, 9, shape[2] * groups), shape], strict=True
        )
    )

    def model(x):
        return convolution(
            x,
            kernel.astype(x.dtype),
            padding="SAME",
            feature_group_count=groups,
            preferred_element_type=result,
        )

    exact = jax.jit(model)(x.astype(jnp.float32))
    found = jax.jit(rewrite(model))(x)
    assert found.dtype == (result or jnp.bfloat16)
    rounding = 1e-5 if result else 2.0**-8
    assert jnp.allclose(found, exact, rtol=rounding, atol=1e-5)


@pytest.mark.parametrize(("shape", "groups"), [((3, 3, 1, 4), 4), ((1, 1, 4, 4), 1)])
def test_negative_padding_is_left_to_xla(key, shape, groups):
    kernel = jax.random.normal(key, shape)

    def model(x):
        padding = ((-1, 0), (2, -1))
        return convolution(x, kernel, padding=padding, feature_group_count=groups)

    x = jax.random.normal(key, (2, 9, 9, 4))
    assert jnp.allclose(rewrite(model)(x), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channels", [3, apart(1)])
@pytest.mark.parametrize("padding", [((3, 3), (3, 3)), ((2, 3), (0, 1))])
def test_gradient_of_a_stem(key, channels, padding):
    kernel = jax.random.normal(key, (7, 7, channels, 5))

    def model(x):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    x = jax.random.normal(key, (2, 15, 16, channels))
    weights = jax.random.normal(key, jax.eval_shape(model, x).shape)
    found, expected = (
        jax.jit(lambda x, run=run: jax.vjp(run, x)[1](weights)[0])(x)
        for run in (rewrite(model), model)
    )
    assert jnp.allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_derivatives_nest_in_any_order(key):
    kernel = jax.random.normal(key, (3, 3, 18, 18)) / 10

    def model(x):
        return jnp.tanh(convolution(x, kernel, padding="SAME")).sum()

    fast = rewrite(model)
    x, along = jax.random.normal(key, (2, 1, 6, 6, 18))
    expected = jax.jit(lambda x: jax.jvp(jax.grad(model), (x,), (along,))[1])(x)
    ways = (
        lambda x: jax.jvp(jax.grad(fast), (x,), (along,))[1],
        jax.grad(lambda x: jax.jvp(fast, (x,), (along,))[1]),
        lambda x: jax.vmap(lambda a: jax.jvp(jax.grad(fast), (x,), (a,))[1])(
            along[None]
        )[0],
    )
    for way in ways:
        assert jnp.allclose(jax.jit(way)(x), expected, rtol=1e-4, atol=1e-5)


def test_kernels_of_other_layouts_and_types(key):
    x = jax.random.normal(key, (2, 6, 5, 5))

    def run(x, kernel, layout, groups):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", layout, "NHWC"),
            feature_group_count=groups,
        )

    kernels = {"HWOI": (3, 3, 5, 1), "OIHW": (5, 1, 3, 3), "HWIO": (3, 3, 1, 5)}
    for layout, shape in kernels.items():
        kernel = jax.random.normal(key, shape)
        model = functools.partial(run, kernel=kernel, layout=layout, groups=5)
        assert jnp.allclose(rewrite(model)(x), model(x), rtol=1e-5, atol=1e-5)
    whole = jnp.full((1, 5, 5, 16), 2**20 + 1, jnp.int32)
    taps = jnp.arange(9 * 16 * 16, dtype=jnp.int32).reshape(3, 3, 16, 16) % 7
    model = functools.partial(run, kernel=taps, layout="HWIO", groups=1)
    assert jnp.array_equal(rewrite(model)(whole), model(whole))


def test_shards_of_a_batch(key):
    kernel = jax.random.normal(key, (3, 3, 16, 16)) / 10

    def model(x):
        y = jax.nn.relu(convolution(x, kernel, padding="SAME"))
        pooled = jax.lax.reduce_window(
            y, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        )
        return (pooled**2).sum((1, 2, 3))

    x = jax.random.normal(key, (4, 8, 8, 16))
    expected = jax.jit(jax.grad(lambda x: model(x).sum()))(x)
    fast = jax.grad(lambda x: rewrite(model)(x).sum())
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(x, jax.NamedSharding(mesh, jax.P("data")))
    mapped = jax.shard_map(
        fast, mesh=mesh, in_specs=jax.P("data"), out_specs=jax.P("data")
    )
    for found in (jax.jit(fast)(spread), jax.jit(mapped)(x)):
        assert jnp.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_batched_kernels(key):
    kernels = jax.random.normal(key, (2, 3, 3, 4, 4))
    x = jax.random.normal(key, (1, 6, 6, 4))

    def model(kernel):
        return rewrite(lambda x: convolution(x, kernel, padding="SAME"))(x)

    expected = jnp.stack([model(kernel) for kernel in kernels])
    assert jnp.allclose(jax.vmap(model)(kernels), expected, rtol=1e-5, atol=1e-5)
