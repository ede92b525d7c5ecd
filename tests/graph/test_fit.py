"""Whole graphs: learnt, found again in other images, kept on disk."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import explanatory_graph as oracle
from xattr import graph as graphs
from xattr.graph import Constants, Features, Placement
from xattr.graph._agreement import unguided
from xattr.graph._expectation import density

KEY = jax.random.key(0)
# The same for all, so that programs are compiled once.
OPTIONS = {"constants": Constants(num_parents=5), "num_iterations": 8, "key": KEY}


def features_of(mass):
    return Features(jnp.asarray(mass, jnp.float32), jnp.ones(mass.shape[-1]))


@pytest.fixture(scope="module")
def parts():
    """Without noise: the rule that leaves out the nodes that move least would leave out
    those on parts, since what follows noise moves further.
    """
    rng = np.random.default_rng(0)
    sizes = {"num_images": 24, "upper_channels": 16, "channels": 6}
    return oracle.synthetic(rng, jitter=0.2, **sizes)


@pytest.fixture(scope="module")
def fitted(parts):
    features = {
        "top": features_of(parts.upper_mass),
        "low": features_of(parts.mass),
    }
    return features, graphs.fit(features, **OPTIONS)


def nearest(placement, truth, channel, per_channel):
    """The node of a channel that keeps closest to a place, and its mean distance."""
    own = slice(channel * per_channel, (channel + 1) * per_channel)
    apart = np.linalg.norm(np.asarray(placement.positions)[:, own] - truth, axis=-1)
    best = apart.mean(0).argmin()
    return best + own.start, apart[:, best].mean()


def test_nodes_track_planted_parts_and_follow_the_right_ones(parts, fitted):
    _, found = fitted
    site, layer = found.graph.sites[1], found.graph.layers[1]
    per_channel = site.nodes_per_channel
    above = found.graph.sites[0].nodes_per_channel
    right = total = 0
    for channel in range(6):
        for blob in range(2):
            truth = parts.positions[:, channel, None, blob]
            node, apart = nearest(found.placements[1], truth, channel, per_channel)
            assert apart < 1
            parents = np.asarray(layer.parents[node]) // above
            right += (parts.upper_parts[parents] == parts.parts[channel, blob]).sum()
            total += parents.size
    assert right >= 0.95 * total


def test_what_is_far_from_parts_falls_to_no_node(parts, fitted):
    features, found = fitted
    noise = np.random.default_rng(1).uniform(0, 1, parts.mass.shape)
    stray = {**features, "low": features_of(noise)}
    placements = found.placements
    _, ours = graphs.explained_shares(found.graph, features, placements)
    _, theirs = graphs.explained_shares(found.graph, stray, placements)
    assert float(ours.mean()) > float(theirs.mean())


def test_nodes_on_parts_are_the_strongest(parts, fitted):
    _, found = fitted
    per_channel = found.graph.sites[1].nodes_per_channel
    strengths = np.asarray(found.placements[1].scores).mean(0)
    for channel in range(6):
        own = slice(channel * per_channel, (channel + 1) * per_channel)
        best = int(strengths[own].argmax()) + own.start
        where = np.asarray(found.placements[1].positions)[:, best, None]
        truth = parts.positions[:, channel]
        assert np.linalg.norm(where - truth, axis=-1).min(1).mean() < 1.5


def test_moving_every_image_by_a_cell_moves_every_node_by_one(fitted):
    """The two layers' images move by as much: one cell above is two below."""
    features, found = fitted
    moved = {
        "top": features_of(np.roll(np.asarray(features["top"].levels), 1, axis=1)),
        "low": features_of(np.roll(np.asarray(features["low"].levels), 2, axis=1)),
    }
    layers = [
        layer._replace(
            means=layer.means + jnp.array([[step, 0.0]]),
            resting=layer.resting + jnp.array([[step, 0.0]]),
        )
        for layer, step in zip(found.graph.layers, (1, 2), strict=True)
    ]
    graph = dataclasses.replace(found.graph, layers=tuple(layers))
    placements = graphs.infer(graph, moved)
    for one, other, step in zip(found.placements, placements, (1, 2), strict=True):
        # Others see next to nothing, or what came in at the other side.
        inside = np.asarray(one.peaks) > 1e-3 * float(one.peaks.max())
        inside &= (np.asarray(one.positions) > 3).all(-1)
        inside &= (np.asarray(one.positions) < 9 * step).all(-1)
        ways = np.asarray(other.positions - one.positions)[inside]
        moved = np.isclose(ways, np.array([step, 0.0]), atol=1e-4).all(-1)
        # Where two candidates are equally good, rounding decides.
        assert moved.size > 500
        assert moved.mean() > 0.998


def test_inference_on_the_same_images_is_what_learning_found(fitted):
    features, found = fitted
    for one, other in zip(
        graphs.infer(found.graph, features), found.placements, strict=True
    ):
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4, atol=1e-5)


def test_an_image_is_placed_by_itself(fitted):
    features, found = fitted
    alone = {name: Features(f.levels[3:4], f.step) for name, f in features.items()}
    for one, other in zip(
        graphs.infer(found.graph, alone), found.placements, strict=True
    ):
        np.testing.assert_allclose(one.positions[0], other.positions[3], atol=1e-4)


def test_a_graph_is_kept_with_all_that_it_needs(fitted, tmp_path):
    _, found = fitted
    stds = {"top": np.ones((14, 14, 16)), "low": np.full((28, 28, 6), 2.0)}
    graph = graphs.with_stds(found.graph, stds)
    graphs.save(graph, tmp_path / "graph", about={"model": "planted"})
    again, about = graphs.load(tmp_path / "graph")
    assert about == {"model": "planted"}
    assert again.sites == graph.sites
    assert again.constants == graph.constants
    ours, theirs = (jax.tree.leaves((g.layers, g.stds)) for g in (graph, again))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.layers[0].parents.shape == (320, 0)
    with pytest.raises(ValueError, match="is there"):
        graphs.save(graph, tmp_path / "graph")
    with pytest.raises(FileNotFoundError, match="no explanatory graph"):
        graphs.load(tmp_path)


def test_layers_that_are_known_are_not_learnt_again(fitted):
    features, whole = fitted
    kept = {}
    graphs.fit(features, report=kept.__setitem__, **OPTIONS)
    assert list(kept) == ["top", "low"]
    again = []
    resumed = graphs.fit(
        features,
        known={"top": kept["top"]},
        report=lambda name, _: again.append(name),
        **OPTIONS,
    )
    assert again == ["low"]
    for one, other in zip(
        jax.tree.leaves(whole.graph.layers),
        jax.tree.leaves(resumed.graph.layers),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_bytes_are_as_good_as_numbers():
    mass = jax.random.uniform(jax.random.key(1), (4, 14, 14, 2))
    step = mass.max((0, 1, 2)) / 255
    levels = jnp.round(mass / step[None, None, None]).astype(jnp.uint8)
    options = {"num_iterations": 2, "key": KEY}
    exact = graphs.fit({"top": Features(mass, jnp.ones(2))}, **options)
    rounded = graphs.fit({"top": Features(levels, step)}, **options)
    one, other = exact.graph.layers[0], rounded.graph.layers[0]
    np.testing.assert_allclose(one.means, other.means, atol=0.02)
    assert float(jnp.abs(one.means - jnp.round(one.means)).max()) > 0.1


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ({}, {}, "`features` is empty"),
        ({"a": (2, 14, 14, 1), "b": (2, 7, 7, 1)}, {}, "comes first"),
        ({"a": (2, 7, 7, 1), "b": (3, 14, 14, 1)}, {}, "need the same"),
        ({"a": (0, 7, 7, 1)}, {}, "at least one"),
        ({"a": (2, 7, 7, 1)}, {"nodes_per_channel": {"a": 50}}, "1 to 49"),
        ({"a": (2, 7, 7, 1), "b": (2, 14, 14, 1)}, {}, "`num_parents`=15"),
        ({"a": (2, 7, 7, 1)}, {"nodes_per_channel": {"b": 5}}, "has 'b'"),
        ({"a": (2, 7, 7, 1)}, {"known": {"b": None}}, "`known` has 'b'"),
        ({"a": (2, 7, 7, 1)}, {"num_iterations": 0}, "`num_iterations`=0"),
        (
            {"a": (2, 7, 7, 1), "b": (2, 14, 14, 1)},
            {"constants": Constants(frozen=True)},
            "keeps edges",
        ),
    ],
)
def test_what_does_not_fit_is_refused(shapes, options, message):
    features = {name: features_of(np.ones(shape)) for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=message):
        graphs.fit(features, **{"num_iterations": 1, "key": KEY, **options})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"compat": "Matlab"}, "'matlab', None: `compat='matlab'`"),
        ({"update": "em"}, "`update`='em'"),
        ({"candidates": "all"}, "`candidates`='all'"),
        ({"tau": float("nan")}, "`tau`=nan"),
        ({"eta": -1.0}, "`eta`=-1.0"),
        ({"num_parents": 0}, "`num_parents`=0"),
        ({"num_candidates": 14}, "`num_candidates=15`"),
    ],
)
def test_constants_that_mean_nothing_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Constants(**values)


def test_one_iteration_has_edges_and_is_inferred_again():
    top, low = (
        features_of(np.random.default_rng(2).uniform(size=(3, 5, 5, channels)))
        for channels in (2, 1)
    )
    begun = graphs.init(KEY, top, nodes_per_channel=4, num_parents=0)
    above = graphs.Above(begun.layer, begun.placement, 5, 5)
    constants = Constants(num_parents=5)
    options = {"nodes_per_channel": 3, "num_iterations": 1, "key": KEY}
    found = graphs.fit_layer(low, above, constants=constants, **options)
    assert all(len(set(row)) == 5 for row in found.layer.parents.tolist())
    again = graphs.place(found.layer, low, above, constants=constants)
    np.testing.assert_allclose(again.positions, found.placement.positions, atol=1e-4)
    np.testing.assert_allclose(again.scores, found.placement.scores, rtol=1e-4)


def test_a_missing_std_is_said(fitted):
    with pytest.raises(ValueError, match="`stds` has no 'low'"):
        graphs.with_stds(fitted[1].graph, {"top": np.ones((14, 14, 16))})


def test_other_maps_than_the_graph_s_are_refused(fitted):
    features, found = fitted
    with pytest.raises(ValueError, match="the graph's are"):
        graphs.infer(found.graph, {"top": features["top"]})
    wrong = {**features, "low": features["top"]}
    with pytest.raises(ValueError, match="was learnt from"):
        graphs.infer(found.graph, wrong)


@pytest.mark.parametrize("candidates", ["cells", "windows"])
def test_what_nodes_explain_is_counted_by_hand(candidates):
    """One cell of a map of two is active, with a node right on it."""
    site = graphs.Site("a", 1, 2, 1, 1)
    means = jnp.zeros((1, 2))
    layer = graphs.Layer(
        means, jnp.ones(1), jnp.zeros((1, 0), int), means, jnp.ones(())
    )
    constants = Constants(tau=0.5, candidates=candidates)
    graph = graphs.Graph((site,), (layer,), constants=constants)
    own = Features(jnp.array([[[[1.0], [0.0]]]]), jnp.ones(1))
    nothing = Placement(means[None], jnp.ones((1, 1)), jnp.ones((1, 1)))
    (share,) = graphs.explained_shares(graph, {"a": own}, (nothing,))
    here, nobodys = 1 / (2 * np.pi * 0.15**2 * 2), 0.5
    if candidates == "windows":
        prior = unguided(means, 2**0.5)
        nobodys *= float(density(prior, layer.scales, 2**0.5, 1, 1.0).own.sum())
    np.testing.assert_allclose(share, here / (here + nobodys), rtol=1e-5)
