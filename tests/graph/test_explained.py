from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import transformers
from tests.networks import SHAPE, tiny_convnet
from xattr.graph._explained import ablate, logit_effect, node_units
from xattr.graph._graph import Placement, Site

SITE = Site("relu:0", 2, 3, 2, 2)


def placement(positions):
    positions = jnp.asarray(positions, jnp.float32)
    scores = jnp.ones(positions.shape[:2])
    return Placement(positions, scores, scores)


def test_units_are_the_nearest_in_the_nodes_channel():
    # Halves go up; beyond the border it is the border.
    there = placement([[[0.4, 1.5], [0.6, 0.0], [-3.0, 2.4], [9.0, 9.0]]])
    units = node_units(there, SITE)
    assert np.argwhere(units).tolist() == [
        [0, 0, 2, 0],
        [0, 0, 2, 1],
        [0, 1, 0, 0],
        [0, 1, 2, 1],
    ]


def test_units_of_some_nodes():
    # Nodes 0 and 1 share a unit, which is theirs as long as one of them is meant.
    there = placement([[[0, 0], [0, 0], [1, 1], [1, 2]]] * 2)
    for_all = node_units(there, SITE, keep=jnp.array([False, True, False, True]))
    assert np.argwhere(for_all[1]).tolist() == [[0, 0, 0], [1, 2, 1]]
    keep = jnp.array([[True, False, False, False], [False, False, True, False]])
    each = node_units(there, SITE, keep=keep)
    assert np.argwhere(each).tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]


def test_units_refuse_what_does_not_fit():
    there = placement(np.zeros((1, 3, 2)))
    with pytest.raises(ValueError, match="of 3 nodes, but `site`='relu:0' has 2 x 2"):
        node_units(there, SITE)
    there = placement(np.zeros((1, 4, 2)))
    with pytest.raises(ValueError, match=r"`keep` has shape \(3,\)"):
        node_units(there, SITE, keep=jnp.ones(3, bool))


def linear(weights, images):
    return jnp.einsum("nhwc,hwck->nk", jax.nn.relu(images), weights)


def test_effect_on_a_linear_network_by_hand():
    # Units are worth 1 * 2, 3 * 5, 0 (negative) and 2 * 4 to the only class.
    images = jnp.array([[[[1.0, 3.0], [-7.0, 2.0]]]])
    weights = jnp.array([2.0, 5.0, 9.0, 4.0]).reshape(1, 2, 2, 1)
    model = xattr.Model(linear, weights)
    units = jnp.array([[[[False, True], [True, False]]]])
    found = logit_effect(
        model, images, jnp.array([0]), units, site="relu:0", axes="nhwc"
    )
    assert [x.tolist() for x in found] == [[25.0], [10.0], [15.0]]


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_effect_equals_an_edited_activation(key, chunk_size):
    model = tiny_convnet(key)
    images = jax.random.normal(key, (3, *SHAPE))
    activation = xattr.record(model, images, "relu:0")["relu:0"]
    units = jax.random.bernoulli(key, 0.3, activation.shape)
    found = logit_effect(
        model, images, None, units, site="relu:0", chunk_size=chunk_size
    )
    outputs = model(images)
    classes = outputs.argmax(1)
    rows = jnp.arange(3)
    np.testing.assert_allclose(found.before, outputs[rows, classes], rtol=1e-5)
    for values, zeros in ((found.without, units), (found.only, ~units)):
        edited = xattr.edit(model, {"relu:0": lambda a, z=zeros: a * ~z})
        np.testing.assert_allclose(
            values, edited(images)[rows, classes], rtol=1e-4, atol=1e-5
        )


def test_channels_may_come_first():
    images = jnp.arange(1.0, 13.0).reshape(1, 2, 3, 2)
    units = np.zeros((1, 2, 3, 2), bool)
    units[0, 1, 2, 0] = True

    def first(x):
        return jax.nn.relu(x.transpose(0, 3, 1, 2)).sum((2, 3))

    ablated = ablate(first, jnp.asarray(units), site="relu:0", axes="nchw")
    expected = (images * ~units).sum((1, 2))
    np.testing.assert_allclose(ablated(images), expected)


def test_tokens_that_are_no_patches_are_left():
    def model(x):
        return jax.nn.relu(x).sum(2)

    tokens = jnp.arange(1.0, 11.0).reshape(1, 5, 2)
    units = jnp.ones((1, 2, 2, 2), bool).at[0, 1, 0, 1].set(False)
    ablated = ablate(model, units, site="relu:0", axes="ntc")
    assert ablated(tokens).tolist() == [[3.0, 0.0, 0.0, 8.0, 0.0]]


@pytest.mark.slow
def test_axes_of_a_transformers_tokens_are_read():
    model, images = transformers.tiny_vit(), transformers.images(2)
    units = jnp.ones((2, 2, 2, 8), bool)
    ablated = ablate(model, units, site=transformers.SITE)
    edited = xattr.edit(model, {transformers.SITE: lambda a: a.at[:, 1:].set(0)})
    np.testing.assert_allclose(ablated(images), edited(images), rtol=1e-5)
    assert jnp.abs(ablated(images) - model(images)).max() > 1e-3


def test_units_of_one_row_serve_any_batch_and_ablations_add_up():
    images = jnp.ones((4, 1, 2, 2))
    model = xattr.Model(linear, jnp.ones((1, 2, 2, 1)))
    one = jnp.zeros((1, 1, 2, 2), bool).at[0, 0, 0, 0].set(True)
    other = jnp.zeros((1, 1, 2, 2), bool).at[0, 0, 1, 1].set(True)
    at = {"site": "relu:0", "axes": "nhwc"}
    once = ablate(model, one, **at)
    assert once(images).tolist() == [[3.0]] * 4
    assert ablate(once, other, **at)(images[:2]).tolist() == [[2.0]] * 2


def test_other_units_are_the_same_program():
    traces = []

    def counted(weights, images):
        traces.append(1)
        return linear(weights, images)

    model = xattr.Model(counted, jnp.ones((1, 2, 2, 1)))
    images = jnp.ones((1, 1, 2, 2))
    effect = partial(logit_effect, model, images, jnp.array([0]))
    units = jnp.zeros((1, 1, 2, 2), bool)
    effect(units, site="relu:0", axes="nhwc")
    before = len(traces)
    effect(~units, site="relu:0", axes="nhwc")
    assert len(traces) == before


@pytest.mark.parametrize(
    ("units", "site", "kind", "match"),
    [
        (np.zeros((1, 12, 12, 4)), "relu:0", TypeError, "`units` is float32"),
        (np.zeros((3, 12, 12, 4), bool), "relu:0", ValueError, "of 3 images, and"),
        (np.zeros((1, 9, 9, 4), bool), "relu:0", ValueError, "`units` has shape"),
        (np.zeros((1, 12, 12, 4), bool), "nowhere", ValueError, "is not a site"),
        (np.zeros((1, 12, 12, 4), bool), "dot:0", ValueError, "a permutation of"),
    ],
)
def test_errors(key, units, site, kind, match):
    model = tiny_convnet(key)
    with pytest.raises(kind, match=match):
        logit_effect(
            model, jnp.ones((1, *SHAPE)), jnp.array([0]), jnp.asarray(units), site=site
        )
