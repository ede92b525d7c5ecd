"""Which axioms each method satisfies, in one table, and that it does."""

import functools

import jax
import jax.numpy as jnp
import pytest

import xattr
from tests.apart import slow_but
from tests.methods import APART, CASES
from tests.networks import images, tiny_convnet
from xattr import testing

TARGETS = jnp.array([0, 3])

COMPLETE = {
    "integrated_gradients": {"num_steps": 64},
    "guided_integrated_gradients": {"num_steps": 400},
    "deeplift": {},
}
DUMMY = {
    "gradient",
    "input_x_gradient",
    "smoothgrad",
    "vargrad",
    "integrated_gradients",
    "expected_gradients",
    "guided_integrated_gradients",
    "guided_backprop",
    "lrp",
    "deeplift",
    "excitation_backprop",
    "feature_ablation",
    "shapley_sampling",
}
LINEAR = {
    "gradient",
    "input_x_gradient",
    "smoothgrad",
    "integrated_gradients",
    "expected_gradients",
    "blur_integrated_gradients",
    "deeplift",
    "occlusion",
    "feature_ablation",
    "shapley_sampling",
    "lime",
    "kernel_shap",
}
SYMMETRIC = {
    "gradient",
    "input_x_gradient",
    "integrated_gradients",
    "guided_integrated_gradients",
    "deeplift",
    "lrp",
}
MIRRORED = {
    "gradient",
    "input_x_gradient",
    "integrated_gradients",
    "guided_integrated_gradients",
    "blur_integrated_gradients",
    "xrai",
    "deeplift",
    "lrp",
    "excitation_backprop",
    "feature_ablation",
}


def table(names):
    """A table in order; what is dear is run apart."""
    return slow_but(sorted(names), set(CASES) - APART)


def with_key(name):
    case = CASES[name]
    if not case.random:
        return case.method
    return functools.partial(case.method, key=jax.random.key(5))


@pytest.fixture(scope="module")
def model():
    return tiny_convnet(jax.random.key(1), smooth=True)


def test_every_method_of_these_tables_exists():
    assert {*COMPLETE, *DUMMY, *LINEAR, *SYMMETRIC, *MIRRORED} <= set(CASES)


@pytest.mark.parametrize("name", table(COMPLETE))
def test_completeness(name, model):
    method = functools.partial(getattr(xattr, name), **COMPLETE[name])
    testing.assert_complete(method, model, images(2), TARGETS)


@pytest.mark.parametrize("name", table(DUMMY))
def test_dummy_pixels_get_nothing(name, model):
    testing.assert_ignores_dummy(with_key(name), model, images(2), TARGETS)


@pytest.mark.parametrize("name", table(LINEAR))
def test_linearity(name, model):
    models = (model, tiny_convnet(jax.random.key(9), smooth=True))
    testing.assert_linear(with_key(name), models, images(2), TARGETS)


@pytest.mark.parametrize("name", table(SYMMETRIC))
def test_symmetry(name, model):
    testing.assert_symmetric(with_key(name), model, images(2), TARGETS)


@pytest.mark.parametrize("name", table(MIRRORED))
def test_flip_equivariance(name, model):
    testing.assert_flip_equivariant(with_key(name), model, images(2), TARGETS)


def half_gradient(*args, **options):
    return 0.5 * xattr.input_x_gradient(*args, **options)


def first_image_everywhere(model, images, targets=None, **options):
    maps = xattr.gradient(model, images, targets)
    return maps - maps[:1] + maps[0].mean()


def shifted(model, images, targets=None, **options):
    return (
        xattr.gradient(model, images, targets)
        + jnp.linspace(1, 2, 12)[None, None, :, None]
    )


def by_chunk(model, images, targets=None, *, chunk_size=None, **options):
    return xattr.gradient(model, images, targets) * (chunk_size or 7)


BROKEN = {
    "sum of attributions": lambda m: testing.assert_complete(
        half_gradient, lambda x: x.sum((1, 2, 3))[:, None], images(2), TARGETS * 0
    ),
    "unread pixels": lambda m: testing.assert_ignores_dummy(
        shifted, m, images(2), TARGETS
    ),
    "sum of models": lambda m: testing.assert_linear(
        shifted, (m, m), images(2), TARGETS
    ),
    "exchangeable pixels": lambda m: testing.assert_symmetric(
        shifted, m, images(2), TARGETS
    ),
    "mirrored model": lambda m: testing.assert_flip_equivariant(
        shifted, m, images(2), TARGETS
    ),
    "in a batch": lambda m: testing.assert_batch_independent(
        first_image_everywhere, m, images(2), TARGETS
    ),
    "in chunks of": lambda m: testing.assert_chunk_independent(
        by_chunk, m, images(2), TARGETS
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_assertions_find_a_method_that_breaks_them(what, model):
    with pytest.raises(AssertionError, match=f"{what}.*largest relative deviation"):
        BROKEN[what](model)
