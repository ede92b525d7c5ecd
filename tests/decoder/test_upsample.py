"""Transposed convolution against its definition, in both forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import decoder_network as oracle
from xattr.decoder._upsample import transposed_convolution

FORMS = ["subpixel", "direct"]


def drawn(seed=0, shape=(2, 3, 5, 4), channels=6):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(np.float32)
    kernel = rng.normal(size=(4, 4, shape[3], channels)).astype(np.float32)
    return x, kernel


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 1, 1, 2), (1, 1, 4, 1)])
def test_is_its_definition(form, shape):
    x, kernel = drawn(shape=shape)
    y = transposed_convolution(jnp.asarray(x), jnp.asarray(kernel), form=form)
    expected = oracle.transposed_convolution(x, kernel)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_gradients_of_both_forms_are_equal():
    x, kernel = map(jnp.asarray, drawn(1))
    weights = jnp.asarray(drawn(2, (2, 6, 10, 6))[0])

    def gradients(form):
        def total(x, kernel):
            return (weights * transposed_convolution(x, kernel, form=form)).sum()

        return jax.grad(total, (0, 1))(x, kernel)

    for one, other in zip(*map(gradients, FORMS), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_the_transpose_of_the_definition():
    x, kernel = drawn(3, (1, 2, 3, 2), 2)
    weights = drawn(4, (1, 4, 6, 2))[0]

    def total(x):
        return (
            jnp.asarray(weights) * transposed_convolution(x, jnp.asarray(kernel))
        ).sum()

    found = np.asarray(jax.grad(total)(jnp.asarray(x))).ravel()
    for place, slope in enumerate(found):
        unit = np.zeros(x.size)
        unit[place] = 1
        y = oracle.transposed_convolution(unit.reshape(x.shape), kernel)
        np.testing.assert_allclose(slope, (weights * y).sum(), rtol=1e-4, atol=1e-5)


def test_an_unknown_form_is_refused():
    x, kernel = map(jnp.asarray, drawn())
    with pytest.raises(ValueError, match="`form`='dilated' is none of subpixel"):
        transposed_convolution(x, kernel, form="dilated")  # pyright: ignore[reportArgumentType]
