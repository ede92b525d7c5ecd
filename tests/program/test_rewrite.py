import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import xattr
from xattr.program import rewrite

GRID = [
    # kernel, stride, dilation, padding, depthwise
    ((3, 3), 1, 1, "SAME", True),
    ((3, 3), 2, 1, "SAME", True),
    ((5, 3), (2, 1), 1, "VALID", True),
    ((3, 3), 1, 2, ((2, 1), (0, 3)), True),
    ((1, 1), 1, 1, "SAME", False),
    ((1, 1), 2, 1, "VALID", False),
    ((3, 3), 1, 1, "SAME", False),
]


@pytest.mark.parametrize(("kernel", "stride", "dilation", "padding", "depthwise"), GRID)
def test_same_outputs_gradients_and_site_names(
    key, kernel, stride, dilation, padding, depthwise
):
    channels = 6
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
    assert jnp.allclose(fast(x), model(x), rtol=1e-5, atol=1e-5)

    def total(model, x):
        return (model(x) ** 2).sum()

    slow_gradient, fast_gradient = (jax.grad(total, 1)(m, x) for m in (model, fast))
    assert jnp.allclose(fast_gradient, slow_gradient, rtol=1e-5, atol=1e-4)
    assert [s.name for s in xattr.sites(fast, x)] == [
        s.name for s in xattr.sites(model, x)
    ]


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
@pytest.mark.parametrize(("shape", "groups"), [((5, 5, 1, 4), 4), ((1, 1, 4, 4), 1)])
def test_half_precision_keeps_its_result_type_and_its_accuracy(
    key, shape, groups, result
):
    x, kernel = (
        jax.random.normal(k, s, jnp.bfloat16)
        for k, s in zip(jax.random.split(key), [(2, 9, 9, 4), shape], strict=True)
    )

    def model(x):
        return convolution(
            x,
            kernel.astype(x.dtype),
            padding="SAME",
            feature_group_count=groups,
            preferred_element_type=result,
        )

    exact = model(x.astype(jnp.float32))
    found = rewrite(model)(x)
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
