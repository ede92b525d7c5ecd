import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import xattr
from xattr.program import affine_above

IMAGES = jnp.ones((2, 4, 6, 3))
HEAD = jnp.ones((3, 5))


def pooled(x):
    return x.mean((1, 2))


def flat_mean(x):
    return x.reshape(len(x), -1, 3).mean(1)


def normed(x):
    return (x - jnp.ones((1, 1, 1, 3))) * jnp.ones((1, 1, 1, 3)) / 2.0


def pointwise(x):
    return jax.lax.conv_general_dilated(
        x, HEAD[None, None], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


AFFINE = {
    "pool and head": lambda x: pooled(x) @ HEAD,
    "one axis after the other": lambda x: x.mean(2).mean(1) @ HEAD,
    "flattened positions": lambda x: flat_mean(x) @ HEAD,
    "window over all": lambda x: nnx.avg_pool(x, (4, 6)).reshape(len(x), -1) @ HEAD,
    "windows that tile": lambda x: pooled(nnx.avg_pool(x, (2, 2), (2, 2))) @ HEAD,
    "normalization before": lambda x: pooled(normed(x)) @ HEAD,
    "head before pooling": lambda x: pooled(pointwise(x)),
    "a product before pooling": lambda x: pooled(jnp.einsum("nhwc,ck->nhwk", x, HEAD)),
    "channels first": lambda x: jnp.moveaxis(x, 3, 1).mean((2, 3)) @ HEAD,
    "slices and stacks": lambda x: jnp.concatenate([pooled(x)[:, :1], pooled(x)], 1),
    "an added position": lambda x: pooled(x + jnp.arange(4.0)[None, :, None, None]),
}

NOT = {
    "nothing pooled": (lambda x: x * 2, "outputs"),
    "one axis pooled": (lambda x: x.mean(1), "outputs"),
    "flattened": (lambda x: x.reshape(len(x), -1) @ jnp.ones((72, 5)), "reshape:0"),
    "weighted positions": (
        lambda x: pooled(x * jnp.arange(6.0)[None, None, :, None]),
        "mul:0",
    ),
    "a wide convolution": (
        lambda x: pooled(
            jax.lax.conv_general_dilated(
                x,
                jnp.ones((3, 3, 3, 2)),
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        ),
        "conv:0",
    ),
    "windows that overlap": (
        lambda x: pooled(nnx.avg_pool(x, (2, 2), (1, 1))),
        "sum_pool:0",
    ),
    "an activation": (lambda x: pooled(jnp.tanh(x)), "tanh:1"),
    "a hidden layer": (lambda x: jax.nn.relu(pooled(x) @ HEAD) @ jnp.ones((5, 2)), ""),
    "a product with itself": (lambda x: pooled(x) * pooled(x), "mul:0"),
    "a quotient": (lambda x: 1 / pooled(x), "div:1"),
    "a maximum": (lambda x: x.max((1, 2)), "reduce_max:0"),
    "softmax": (lambda x: jax.nn.softmax(pooled(x)), ""),
}


def after_tanh(head):
    return lambda x: head(jnp.tanh(x))


@pytest.mark.parametrize("head", AFFINE.values(), ids=AFFINE)
def test_pooling_and_affine_layers(head):
    assert affine_above(after_tanh(head), IMAGES, "tanh:0", "nhwc") is None
    jitted = jax.jit(head)
    assert affine_above(after_tanh(jitted), IMAGES, "tanh:0", "nhwc") is None


@pytest.mark.parametrize(("head", "named"), NOT.values(), ids=NOT)
def test_what_offends_is_named(head, named):
    offending = affine_above(after_tanh(head), IMAGES, "tanh:0", "nhwc")
    assert offending is not None
    assert named in offending


TELL_POSITIONS_APART = [
    "nothing pooled",
    "one axis pooled",
    "flattened",
    "weighted positions",
    "a wide convolution",
    "windows that overlap",
]


@pytest.mark.parametrize("name", NOT)
def test_positions_may_be_left_out_of_account(name):
    offending = affine_above(after_tanh(NOT[name][0]), IMAGES, "tanh:0", "????")
    assert (offending is None) == (name in TELL_POSITIONS_APART)


def test_a_vmapped_model_is_pooled_over_the_axes_of_each_image():
    module = eqx.nn.Conv2d(3, 4, 3, padding=1, key=jax.random.key(0))

    def model(x):
        return jax.vmap(lambda image: jnp.tanh(module(image)).mean((1, 2)))(x)

    images = jnp.moveaxis(IMAGES, 3, 1)
    site = next(s for s in xattr.sites(model, images) if s.operation == "tanh")
    assert site.axes == "nchw"
    assert affine_above(model, images, site.name, site.axes) is None


def test_a_value_that_goes_around_the_site_is_a_constant():
    def model(x):
        return (jnp.tanh(x) + jnp.sin(x)).mean((1, 2))

    assert affine_above(model, IMAGES, "tanh:0", "nhwc") is None
