import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import networks
from xattr.program import edit, record, split_at

KERNEL = 0.3 * jax.random.normal(jax.random.key(3), (3, 3, 3, 3))


def conv(x, kernel=KERNEL, layout=("NHWC", "HWIO", "NHWC")):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=layout
    )


def skipping(x):
    """Skip connections from the images, from below the site and from the site."""
    below = jnp.sin(conv(x))
    site = jnp.tanh(conv(below))
    above = jnp.cos(conv(site) + below)
    return (jnp.exp(conv(above) + site) * below).mean((1, 2)) + x.mean((1, 2))


@jax.jit
def inner(x):
    return jnp.tanh(jnp.sin(conv(x)))


def nested(x):
    """The site is inside one call, and in another meets what is computed there."""
    site = inner(x)
    return jax.jit(lambda a, x: (conv(a) * jnp.cos(conv(x))).sum((1, 2)))(site, x)


def channels_first(x):
    layout = ("NCHW", "HWIO", "NCHW")
    x = jnp.moveaxis(x, 3, 1)
    below = jnp.sin(conv(x, layout=layout))
    return (conv(jnp.tanh(below), layout=layout) + below).mean((2, 3))


def one_by_one(x):
    return jax.vmap(lambda x: skipping(x[None])[0])(x)


def dictionary(x):
    site = jnp.tanh(conv(x))
    return {"logits": site.mean((1, 2)), "plain": x.sum(), "constant": KERNEL}


MODELS = {
    f.__name__: f
    for f in (skipping, nested, channels_first, one_by_one, dictionary)
}  # fmt: skip
PARTS = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def emptied(activation):
    return activation.at[0].set(0)


def operations(function, *arguments):
    """Names of all that is computed, in what is called as well."""
    return count(jax.make_jaxpr(function)(*arguments).jaxpr)


def count(jaxpr):
    names = []
    for equation in jaxpr.eqns:
        bodies = [v.jaxpr for v in equation.params.values() if hasattr(v, "jaxpr")]
        names += [name for body in bodies for name in count(body)]
        names += [] if bodies else [equation.primitive.name]
    return names


@PARTS
def test_the_parts_are_the_model(model):
    x = networks.images(2)
    split = split_at(model, x, "tanh:0")
    activation, carried = split.below(x)
    np.testing.assert_array_equal(activation, record(model, x, "tanh:0")["tanh:0"])
    jax.tree.map(
        lambda found, expected: np.testing.assert_allclose(found, expected, rtol=1e-5),
        split.above(activation, carried),
        model(x),
    )


@PARTS
def test_another_activation_gives_what_an_edit_gives(model):
    x = networks.images(2)
    split = split_at(model, x, "tanh:0")
    activation, carried = split.below(x)
    edited = edit(model, {"tanh:0": emptied})
    jax.tree.map(
        lambda found, expected: np.testing.assert_allclose(found, expected, rtol=1e-5),
        split.above(emptied(activation), carried),
        edited(x),
    )


@PARTS
def test_nothing_is_computed_twice(model):
    x = networks.images(2)
    split = split_at(model, x, "tanh:0")
    parts = [operations(split.below, x), operations(split.above, *split.below(x))]
    assert sorted(parts[0] + parts[1]) == sorted(operations(model, x))
    assert "tanh" in parts[0]
    assert not {"tanh", "sin"} & set(parts[1])


def test_what_is_carried_is_what_is_read(key):
    x = networks.images(2)
    net = networks.tiny_convnet(key)
    assert split_at(net, x, "relu:1").below(x)[1] == []
    # The sine, read twice above, and the mean of the images.
    shapes = [v.shape for v in split_at(skipping, x, "tanh:0").below(x)[1]]
    assert sorted(shapes) == [(2, 3), (2, 12, 12, 3)]


def test_parameters_are_prepared_once(key):
    def model(x):
        return jnp.tanh(x) @ jnp.exp(weights)

    weights, x = jax.random.normal(key, (3, 4)), jnp.ones((2, 3))
    split = split_at(model, x, "tanh:0")
    assert "exp" not in operations(split.below, x)
    assert "exp" not in operations(split.above, *split.below(x))


def test_parts_serve_one_image_under_vmap(key):
    x = networks.images(3)
    split = split_at(skipping, x[:1], "tanh:0")
    activations, carried = jax.vmap(split.below)(x[:, None])
    found = jax.vmap(split.above)(activations, carried)[:, 0]
    np.testing.assert_allclose(found, skipping(x), rtol=1e-5)


def test_an_unknown_site_is_refused(key):
    with pytest.raises(ValueError, match="`site`='tanh:7' is not a site"):
        split_at(skipping, networks.images(1), "tanh:7")
