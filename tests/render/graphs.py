"""A small graph of three layers, with its nodes at made-up places."""

import jax.numpy as jnp
import numpy as np

from xattr.graph._graph import Graph, Layer, Placement, Site

SITES = (
    Site("<top>/add:0", 4, 4, 3, 2),
    Site("middle/add:0", 8, 8, 4, 3),
    Site("low/add:0", 16, 16, 5, 4),
)
NUM_PARENTS = 3


def sample_graph(num_images: int = 6):
    """Photographs, a graph, and the placements of its nodes."""
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (num_images, 56, 56, 3), np.uint8)
    layers, placements, above = [], [], 0
    for site in SITES:
        count = site.channels * site.nodes_per_channel
        shape = (num_images, count)
        positions = jnp.asarray(rng.uniform(0, site.height - 1, (*shape, 2)))
        scores, resting = jnp.asarray(rng.random(shape)), positions.mean(0)
        parents = [
            rng.permutation(above)[: NUM_PARENTS if above else 0] for _ in range(count)
        ]
        layers.append(
            Layer(
                means=resting,
                scales=jnp.ones(count),
                parents=jnp.array(parents, int).reshape(count, -1),
                resting=resting,
                strength=jnp.ones(()),
            )
        )
        placements.append(Placement(positions, scores, scores))
        above = count
    return photos, Graph(SITES, tuple(layers)), placements
