import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.networks import images, tiny_convnet
from xattr.program import arranged


@pytest.fixture(scope="module")
def model():
    return tiny_convnet(jax.random.key(1))


def test_its_outputs_are_the_activation(model):
    found = xattr.at_site(model, "relu:0")(images(2))
    expected = xattr.record(model, images(2), "relu:0")["relu:0"]
    np.testing.assert_array_equal(found, expected)


def test_what_lies_below_keeps_its_name_and_what_lies_above_is_gone(model):
    hidden = xattr.at_site(model, "relu:1")
    whole = [site.name for site in xattr.sites(model, images(2))]
    below = [site.name for site in xattr.sites(hidden, images(2))]
    assert below == whole[: whole.index("relu:1") + 1]
    again = xattr.at_site(hidden, "conv:0")(images(2))
    expected = xattr.record(model, images(2), "conv:0")["conv:0"]
    np.testing.assert_array_equal(again, expected)


def test_equal_names_are_one_program(model):
    traces = 0

    def counted(params, x):
        nonlocal traces
        traces += 1
        return model.apply(params, x)

    def run():
        hidden = xattr.at_site(xattr.Model(counted, model.params), "relu:0")
        xattr.gradient(hidden, images(1), [2], score=xattr.unit)
        return traces

    assert run() == run() > 0


def test_gradient_of_one_unit(model):
    hidden = xattr.at_site(model, "conv:1")
    index = jnp.array([[1, 2, 3], [0, 4, 5]])
    found = xattr.gradient(hidden, images(2), index, score=xattr.unit)

    def activation(x, place):
        return xattr.record(model, x[None], "conv:1")["conv:1"][(0, *place)]

    for n in range(2):
        place = tuple(index[n].tolist())
        expected = jax.jit(jax.grad(activation), static_argnums=1)(images(2)[n], place)
        np.testing.assert_allclose(found[n], expected, rtol=1e-5, atol=1e-7)


def test_any_method_explains_a_channel(model):
    """Occlusion too, though not all of the model is there any more."""
    hidden = xattr.at_site(model, "relu:1")
    explain = functools.partial(xattr.occlusion, window=4, stride=4, score=xattr.unit)
    found = explain(hidden, images(1), jnp.array([2]))
    blank = images(1).at[:, :4, 4:8].set(0)
    change = hidden(images(1)).mean((1, 2)) - hidden(blank).mean((1, 2))
    np.testing.assert_allclose(found[0, 0, 4, 0], change[0, 2], rtol=1e-4, atol=1e-6)


def test_the_batch_comes_first():
    kernel = jnp.ones((1, 1, 3, 4))

    def first(x):
        numbers = ("NHWC", "HWIO", "NCHW")
        x = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=numbers
        )
        return jax.nn.relu(x.transpose(2, 1, 3, 0)).sum((0, 1, 2))[:, None]

    hidden = xattr.at_site(first, "relu:0")
    assert hidden(images(2)).shape == (2, 12, 12, 4)


@pytest.mark.parametrize(
    ("given", "axes", "expected"),
    [
        ((2, 3, 4, 5), "nhwc", (2, 3, 4, 5)),
        ((2, 3, 4, 5), "ncwh", (2, 5, 4, 3)),
        ((2, 3, 4), "?cn", (4, 2, 3)),
        ((2, 3, 4), "n??", (2, 3, 4)),
        ((2, 3), "cn", (3, 2)),
    ],
)
def test_batch_first_and_channels_last(given, axes, expected):
    site = xattr.Site("a", "a", given, jnp.dtype(jnp.float32), "?" * len(given))
    assert arranged(jnp.zeros(given), site, axes).shape == expected
    with pytest.raises(ValueError, match="read from the model.*`axes='nhwc'`"):
        arranged(jnp.zeros(given), site)
