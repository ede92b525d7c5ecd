"""Graphs of networks as people have them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from xattr import graph as graphs
from xattr import models

# The side of images, and the grids of the two coarsest sizes of map.
NETWORKS = {
    "vgg16": (64, [2, 4]),
    "resnet152": (64, [2, 4]),
    "mobilenet_v2": (64, [2, 4]),
    "squeezenet1_1": (64, [3, 7]),
    "vit_b_32": (224, [7]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_is_learnt_of_any_architecture(name):
    side, grids = NETWORKS[name]
    model = xattr.from_nnx(models.untrained(name, num_classes=10))
    images = jax.random.uniform(jax.random.key(0), (4, side, side, 3))
    sites = graphs.default_sites(model, images[:1], num=2)
    stds = graphs.unit_std(model, [images], sites)
    features = graphs.extract(model, [images[:3]], sites, stds)
    assert [f.levels.shape[1] for f in features.values()] == grids
    few = dict.fromkeys(sites, 2)
    found = graphs.fit(
        features, nodes_per_channel=few, num_iterations=2, key=jax.random.key(1)
    )
    for placement, site in zip(found.placements, found.graph.sites, strict=True):
        assert placement.scores.shape == (3, 2 * site.channels)
        assert np.isfinite(placement.positions).all()
        assert float(placement.scores.max()) > 0
    again = graphs.infer(found.graph, features)
    for one, other in zip(found.placements, again, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-3, atol=1e-4)


def test_a_model_with_its_channels_first_has_the_same_graph():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 3, 4))

    def last(x):
        y = jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.nn.relu(y).mean((1, 2))

    def first(x):
        y = jax.lax.conv_general_dilated(
            jnp.moveaxis(x, 3, 1),
            kernel,
            (2, 2),
            "SAME",
            dimension_numbers=("NCHW", "HWIO", "NCHW"),
        )
        return jax.nn.relu(y).mean((2, 3))

    images = jax.random.uniform(jax.random.key(1), (6, 14, 14, 3))
    graphs_of = []
    for model in (last, first):
        stds = graphs.unit_std(model, [images], "conv:0")
        features = graphs.extract(model, [images], "conv:0", stds)
        found = graphs.fit(features, num_iterations=2, key=jax.random.key(2))
        graphs_of.append(found.placements[0].positions)
    np.testing.assert_allclose(*graphs_of, atol=1e-3)
