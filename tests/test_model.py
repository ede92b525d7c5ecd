import functools
from typing import Any, cast

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests.networks import images, tiny_convnet


def test_parameters_are_data(key):
    model = tiny_convnet(key)
    doubled = jax.tree.map(lambda p: 2 * p, model)
    assert jnp.allclose(doubled.params["head"], 2 * model.params["head"])
    assert jax.tree.structure(doubled) == jax.tree.structure(model)


def test_functions_inside_parameters_are_static(key):
    module = eqx.nn.MLP(3, 2, 4, 1, key=key)
    model = xattr.from_function(lambda m, x: jax.vmap(m)(x), module)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(model))
    assert jax.jit(lambda m, x: m(x))(model, jnp.ones((2, 3))).shape == (2, 2)


def test_new_weights_labels_and_images_compile_once(key):
    first = tiny_convnet(key)
    apply = first.apply

    def run(params, x):
        return apply(params, x)

    counted = cast(Any, chex.assert_max_traces(run, 1))

    for step in range(3):
        params = tiny_convnet(jax.random.key(step)).params
        model = xattr.from_function(counted, params)
        labels = jnp.array([step, 1])
        xattr.gradient(model, images(2, seed=step), labels, chunk_size=2)


def test_errors_say_what_to_call():
    with pytest.raises(TypeError, match=r"`apply` is a int; .*Model\(apply, params\)"):
        xattr.Model(cast(Any, 3), {})
    with pytest.raises(TypeError, match=r"no NNX module.*from_linen"):
        xattr.from_nnx({})
    with pytest.raises(TypeError, match=r"no Linen module.*from_nnx"):
        xattr.from_linen({}, {})


@pytest.mark.parametrize(
    ("model", "batch", "targets", "error", "match"),
    [
        (3, jnp.ones((1, 2)), None, TypeError, "`model` is a int"),
        (jnp.sin, [[1.0]], None, TypeError, r"`images` is a list.*images\[None\]"),
        (jnp.sin, jnp.ones(3), None, ValueError, "leading batch axis"),
        (
            jnp.sin,
            jnp.ones((1, 2), int),
            None,
            ValueError,
            r"astype\('float32'\) / 255",
        ),
        (jnp.sin, jnp.ones((0, 2)), None, ValueError, "holds no image"),
        (jnp.sin, jnp.ones((2, 2)), 1, ValueError, r"jnp.full\(2, index\)"),
        (jnp.sin, jnp.ones((2, 2)), [0], ValueError, "one row per image"),
        (jnp.sin, jnp.ones((2, 2, 2)), None, ValueError, "one array `n k` of logits"),
    ],
)
def test_bad_input_names_the_argument(model, batch, targets, error, match):
    with pytest.raises(error, match=match):
        xattr.gradient(model, batch, targets)


class Weighted:
    """An object with weights that JAX can't see."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, x):
        return self.weight * x


def test_objects_that_hide_their_weights_are_refused():
    with pytest.raises(TypeError, match="`model` is a Weighted.*from_function"):
        xattr.gradient(Weighted(2.0), jnp.ones((1, 2)))


def scored(outputs, targets, *, weights):
    return (outputs * weights).sum(1)


def test_what_can_not_be_compared_is_named():
    score = functools.partial(scored, weights=jnp.ones((1, 2)))
    with pytest.raises(TypeError, match="`score` holds a partial"):
        xattr.gradient(jnp.sin, jnp.ones((1, 2)), score=score)


def test_numpy_scalars_are_numbers(key):
    three: Any = np.int64(3)
    maps = xattr.integrated_gradients(
        tiny_convnet(key), images(2), num_steps=three, chunk_size=three
    )
    assert maps.shape == images(2).shape


def test_switches_inside_parameters_are_static(key):
    class Switched(eqx.Module):
        weight: jax.Array
        on: bool

        def __call__(self, x):
            return jnp.tanh(self.weight * x) if self.on else x

    def apply(module, x):
        return jax.vmap(module)(x)

    model = xattr.from_function(apply, Switched(jnp.ones(3), True))
    jitted = jax.jit(lambda model, x: xattr.gradient(model, x))
    assert jitted(model, jnp.ones((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("wrong", [99, -1])
@pytest.mark.parametrize("score", [xattr.logit, xattr.probability, xattr.margin])
def test_a_class_that_is_none_gives_no_map(key, wrong, score):
    targets = jnp.array([wrong, 1])
    maps = xattr.gradient(tiny_convnet(key), images(2), targets, score=score)
    assert bool(jnp.isnan(maps[0]).any())
    assert bool(jnp.isfinite(maps[1]).all())


@pytest.mark.parametrize("targets", [jnp.zeros(2), jnp.zeros((2, 1), int)])
def test_targets_that_are_no_indices_are_named(key, targets):
    with pytest.raises(ValueError, match="`targets` is .*one class index per image"):
        xattr.gradient(tiny_convnet(key), images(2), targets)


def test_nnx_module_itself_is_refused():
    from flax import nnx

    with pytest.raises(TypeError, match=r"from_nnx\(model\)"):
        xattr.gradient(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), jnp.ones((1, 2)))
