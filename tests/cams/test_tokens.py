"""Class activation maps of tokens, on the grid of their patches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import transformers
from tests.methods import SMALL
from tests.oracles import cams as oracles
from tests.oracles.vit import ViT
from xattr.images import tokens_to_grid
from xattr.program import perturb

LINEN_SITE = "LinenViT/LayerNorm_2"


def test_grad_cam_at_the_last_norm_is_the_formula_on_patches():
    """As pytorch-grad-cam's `reshape_transform`: the class token out of both."""
    oracle = ViT(transformers.tensors(), patch=4, num_heads=2)
    with jax.enable_x64(True):
        images = transformers.images(2, dtype=jnp.float64)
        model = transformers.tiny_vit()
        found = xattr.grad_cam(
            model, images, [2, 0], site=transformers.SITE, relu=False
        )
        for image, target, map_ in zip(images, (2, 0), found, strict=True):
            image = np.asarray(image)
            tokens = oracle.run(image)[1]["norm 1"]
            gradient = oracle.gradient(image, target, "norm 1")
            grids = [x[1:].reshape(2, 2, 8) for x in (tokens, gradient)]
            np.testing.assert_allclose(map_, oracles.grad_cam(*grids), rtol=1e-6)


@pytest.mark.slow
def test_a_linen_model_with_registers_and_a_wide_grid():
    model, images = transformers.linen_vit(), transformers.wide_images(2)
    perturbed = perturb(model, images, [LINEN_SITE])

    def total(zeros):
        outputs, found = perturbed.call(zeros)
        return outputs[:, 1].sum(), found[LINEN_SITE]

    gradients, tokens = jax.grad(total, has_aux=True)(perturbed.zeros)
    found = xattr.gradient_cams(model, images, [1, 1], site=LINEN_SITE, relu=False)
    for name in ("grad_cam", "hires_cam", "layer_cam", "xgrad_cam"):
        for n in range(2):
            a, g = (
                np.asarray(x[n, 3:], np.float64).reshape(2, 3, 8)
                for x in (tokens, gradients[LINEN_SITE])
            )
            expected = getattr(oracles, name)(a, g)
            np.testing.assert_allclose(found[name][n], expected, rtol=1e-3, atol=1e-5)


METHODS = {
    name: functools.partial(getattr(xattr, name), **settings)
    for name, settings in {
        "eigen_cam": {},
        "shapley_cam": {},
        "ablation_cam": {},
        "integrated_grad_cam": SMALL["integrated_grad_cam"],
        "is_cam": SMALL["is_cam"],
        "opti_cam": {"num_steps": 2},
    }.items()
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_other_methods_read_tokens_as_their_grid(method):
    """The same model with its tokens written as an image has the same maps."""
    kernel = jnp.asarray(
        np.random.default_rng(0).normal(size=(4, 4, 3, 5)), jnp.float32
    )
    head = jnp.asarray(np.random.default_rng(1).normal(size=(5, 3)), jnp.float32)

    def patches(x):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (4, 4), "VALID", dimension_numbers=numbers
        )

    def of_tokens(x):
        tokens = jnp.tanh(patches(x).reshape(len(x), 6, 5))
        return (tokens**2).mean(1) @ head

    def of_grid(x):
        return (jnp.tanh(patches(x)) ** 2).mean((1, 2)) @ head

    images = transformers.wide_images(2)
    found = method(of_tokens, images, [0, 2], site="tanh:0")
    expected = method(of_grid, images, [0, 2], site="tanh:0")
    assert found.shape == (2, 2, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_cam_of_averaged_tokens():
    def model(x):
        return jnp.tanh(x.reshape(len(x), 4, 2)).mean(1) @ jnp.array([[1.0], [-2.0]])

    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 8)), jnp.float32)
    found = xattr.cam(model, x, [0], site="tanh:0", axes="n(2 2)c", relu=False)
    expected = (jnp.tanh(x).reshape(4, 2) @ jnp.array([1.0, -2.0])).reshape(1, 2, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="`site`='tanh:0' is followed by"):
        xattr.cam(
            lambda x: jnp.tanh(x.reshape(len(x), 4, 2))[:, 0],
            x,
            site="tanh:0",
            axes="n(2 2)c",
        )


@pytest.mark.slow
def test_axes_that_are_given():
    model, images = transformers.linen_vit(), transformers.wide_images(1)
    read = xattr.grad_cam(model, images, site=LINEN_SITE)
    for axes in ("ntc", "n(2 3)c"):
        np.testing.assert_array_equal(
            xattr.grad_cam(model, images, site=LINEN_SITE, axes=axes), read
        )
    turned = xattr.grad_cam(model, images, site=LINEN_SITE, axes="n(3 2)c")
    np.testing.assert_allclose(turned.reshape(-1), read.reshape(-1), rtol=1e-5)


def test_channels_before_tokens():
    def model(x):
        return x + jnp.tanh(x.reshape(len(x), 2, 6)).reshape(x.shape)

    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 12)), jnp.float32)
    found = xattr.hires_cam(model, x, [7], site="tanh:0", axes="nc(2 3)", relu=False)
    expected = jnp.zeros((2, 3)).at[0, 1].set(jnp.tanh(x[0, 7]))
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def flat_patches(x):
    return jnp.tanh(x.reshape(len(x), 5, 4)).sum((1, 2))[:, None]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (None, r"axes 'n\?\?' \(read from the model\).*`axes='ntc'`"),
        ("ntc", r"5 tokens are of no grid.*`axes='n\(2 2\)c'`"),
        ("n(2 3)c", r"5 tokens are fewer than the 2 x 3 patches of `axes`='n\(2 3\)c'"),
        ("n(2 2)cc", r"axes 'n\(2 2\)cc' \(given\)"),
    ],
)
def test_tokens_whose_grid_is_not_known(axes, message):
    with pytest.raises(ValueError, match=message):
        xattr.grad_cam(flat_patches, jnp.ones((1, 20)), site="tanh:0", axes=axes)


def test_tokens_to_grid_leaves_out_the_first():
    tokens = jnp.arange(2 * 7 * 2.0).reshape(2, 7, 2)
    found = tokens_to_grid(tokens, (2, 3))
    np.testing.assert_array_equal(found.reshape(2, 6, 2), tokens[:, 1:])
    for grid in ((2, 4), (0, 3)):
        with pytest.raises(ValueError, match=r"for 7 tokens.*`grid=\(14, 14\)`"):
            tokens_to_grid(tokens, grid)
