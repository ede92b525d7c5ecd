"""A layer of an explanatory graph, against NumPy and against what was planted."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.oracles import explanatory_graph as oracle
from xattr.graph._agreement import guided, unguided
from xattr.graph._constants import Constants
from xattr.graph._edges import choose_parents
from xattr.graph._expectation import density, explain
from xattr.graph._graph import Features, Layer, Placement
from xattr.graph._layer import fit_layer, init, place, step
from xattr.graph._maximization import learnt_scales, moved_means
from xattr.graph._sweep import Above, sweep

RNG = np.random.default_rng(0)
IMAGES, UPPER, SIDE, CHANNELS, NODES, PARENTS = 5, 7, 14, 3, 6, 4
COMPATS = [None, "matlab"]


@pytest.fixture(scope="module")
def case():
    """A layer of random features below one of random places."""
    count = CHANNELS * NODES
    positions = RNG.uniform(1, 5, (IMAGES, 20, 2))
    return {
        "mass": np.maximum(RNG.normal(size=(IMAGES, SIDE, SIDE, CHANNELS)), 0),
        "means": RNG.uniform(0, SIDE - 1, (count, 2)),
        "scales": RNG.uniform(0.3, 2.5, count),
        "parents": RNG.integers(0, 20, (count, PARENTS)),
        "upper_positions": positions,
        "upper_scales": RNG.uniform(0.4, 2, 20),
        "upper_scores": RNG.uniform(0, 1, (IMAGES, 20)),
    }


def above_of(case):
    positions = jnp.asarray(case["upper_positions"])
    nothing = jnp.zeros(20)
    layer = Layer(
        positions.mean(0),
        jnp.asarray(case["upper_scales"]),
        jnp.zeros((20, 0), int),
        positions.mean(0),
        nothing[0] + 1,
    )
    scores = jnp.asarray(case["upper_scores"])
    return Above(layer, Placement(positions, scores, scores), UPPER, UPPER)


def layer_of(case):
    means, scales = jnp.asarray(case["means"]), jnp.asarray(case["scales"])
    return Layer(means, scales, jnp.asarray(case["parents"]), means, jnp.ones(()))


def expected(case, first, compat):
    return oracle.expectation(
        case["mass"],
        case["means"],
        case["scales"],
        None if first else case["parents"],
        case["upper_positions"],
        case["upper_positions"].mean(0),
        case["upper_scales"],
        upper_side=UPPER,
        first=first,
        compat=compat,
    )


def close(found, wanted):
    wanted = np.asarray(wanted)
    bound = 1e-9 * max(np.abs(wanted).max(), 1e-12)
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=bound)


@pytest.mark.parametrize("compat", COMPATS)
@pytest.mark.parametrize("first", [True, False])
def test_every_intermediate_of_the_expectation_is_numpy_s(case, first, compat):
    wanted = expected(case, first, compat)
    ratio = 1.0 if compat else SIDE / UPPER
    with jax.enable_x64(True):
        above, means = above_of(case), jnp.asarray(case["means"])
        ways = ratio * (above.placement.positions - above.layer.resting[None])
        for i in range(IMAGES):
            if first:
                prior = unguided(means, SIDE)
            else:
                scales = ratio * above.layer.scales
                parents = jnp.asarray(case["parents"])
                prior = guided(means, parents, ways[i], scales)
            close(prior.centers - means, wanted.shifts[i])
            close(prior.stddevs, wanted.widths)
            close(prior.agreement, wanted.agreement[i])
            at = density(prior, jnp.asarray(case["scales"]), SIDE, CHANNELS, 0.1)
            radii = at.windows.radii.reshape(-1)
            corners = at.windows.middles.reshape(-1, 2) - radii[:, None]
            np.testing.assert_array_equal(radii, wanted.radii)
            np.testing.assert_array_equal(corners, wanted.corners[i])
            close(at.own.reshape(-1, 6, 6), wanted.prior[i])
            close(at.none, wanted.tau[i])
            taken = at.own / (at.all + at.none)
            close(taken.reshape(-1, 6, 6), wanted.responsibilities[i])
            mass = jnp.moveaxis(jnp.asarray(case["mass"][i]), -1, 0)
            found = explain(mass, prior, at, SIDE)
            close(found.positions, wanted.positions[i])
            close(found.scores, wanted.scores[i])
            close(found.peaks, wanted.peaks[i])
            product = wanted.responsibilities[i] * wanted.activation[i]
            close(found.weight, product.sum((1, 2)))


@pytest.mark.parametrize("compat", COMPATS)
@pytest.mark.parametrize("first", [True, False])
def test_the_maximization_is_numpy_s(case, first, compat):
    wanted = expected(case, first, compat)
    rho = NODES / SIDE**2
    means, scales = oracle.maximization(
        wanted,
        case["means"],
        case["scales"],
        iteration=3,
        eta=0.7,
        rho=rho,
        compat=compat,
    )
    with jax.enable_x64(True):
        layer = layer_of(case)
        mass = jnp.asarray(case["mass"])
        stddevs, totals, _ = sweep(
            layer,
            Features(mass, jnp.ones(CHANNELS)),
            None if first else above_of(case),
            tau=0.1,
            candidates="windows",
            ratio=1.0 if compat else SIDE / UPPER,
        )
        close(totals.log_likelihood, wanted.log_likelihood)
        close(moved_means(layer.means, stddevs, totals, 3, 0.7), means)
        close(learnt_scales(layer.scales, totals, rho, compat), scales)


@pytest.mark.parametrize("compat", COMPATS)
def test_the_edges_are_numpy_s(case, compat):
    positions = RNG.uniform(0, SIDE, (IMAGES, CHANNELS * NODES, 2))
    peaks = RNG.uniform(0, 1, (IMAGES, CHANNELS * NODES))
    wanted = oracle.edges(
        case["upper_positions"],
        case["upper_scores"],
        positions,
        peaks,
        upper_side=UPPER,
        side=SIDE,
        stride=16,
        upper_stride=32,
        num_parents=3,
        num_candidates=7,
        compat=compat,
    )
    with jax.enable_x64(True):
        found = choose_parents(
            Placement(jnp.asarray(positions), jnp.asarray(peaks), jnp.asarray(peaks)),
            above_of(case).placement,
            strides=(1 / SIDE, 1 / UPPER),
            border=(SIDE, SIDE) if compat else (UPPER, UPPER),
            num_parents=3,
            num_candidates=7,
        )
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("compat", COMPATS)
def test_two_layers_that_are_learnt_are_numpy_s(compat):
    parts = oracle.synthetic(
        np.random.default_rng(3),
        num_images=6,
        upper_channels=4,
        channels=2,
        upper_side=UPPER,
        side=SIDE,
        motion=0.6,
        noise=0.1,
        stddev=0.6,
    )
    rng = np.random.default_rng(4)
    upper = oracle.fit(
        parts.upper_mass,
        oracle.initial_means(rng, UPPER, 4, 10),
        stride=32,
        num_iterations=3,
        compat=compat,
    )
    start = oracle.initial_means(rng, SIDE, 2, 8)
    given: Any = {"num_iterations": 3, "num_parents": 5, "num_candidates": 12}
    wanted = oracle.fit(
        parts.mass, start, stride=16, upper=upper, compat=compat, **given
    )
    constants = Constants(num_parents=5, num_candidates=12, compat=compat)
    with jax.enable_x64(True):
        places = [jnp.asarray(upper[k]) for k in ("positions", "scores", "peaks")]
        top = Layer(
            jnp.asarray(upper["means"]),
            jnp.asarray(upper["scales"]),
            jnp.zeros((40, 0), int),
            jnp.asarray(upper["resting"]),
            jnp.asarray(upper["strength"]),
        )
        above = Above(top, Placement(*places), UPPER, UPPER)
        features = Features(jnp.asarray(parts.mass), jnp.ones(2))
        state = init(jax.random.key(0), features, nodes_per_channel=8, num_parents=5)
        layer = state.layer._replace(means=jnp.asarray(start))
        state = state._replace(layer=layer)
        for number in range(3):
            state, likelihood = step(state, features, above, constants=constants)
            close(likelihood, wanted["likelihoods"][number])
        np.testing.assert_array_equal(state.layer.parents, wanted["parents"])
        found = place(state.layer, features, above, constants=constants)
        close(state.layer.means, wanted["means"])
        close(state.layer.scales, wanted["scales"])
        close(found.positions, wanted["positions"])
        close(found.peaks, wanted["peaks"])


@pytest.mark.slow
def test_one_program_is_its_steps():
    parts = oracle.synthetic(np.random.default_rng(1), num_images=4, channels=2)
    top = Features(jnp.asarray(parts.upper_mass, jnp.float32), jnp.ones(8))
    low = Features(jnp.asarray(parts.mass, jnp.float32), jnp.ones(2))
    key = jax.random.key(2)
    first = fit_layer(top, nodes_per_channel=5, num_iterations=2, key=key)
    above = Above(first.layer, first.placement, 14, 14)
    options = {"nodes_per_channel": 6, "key": key}
    found = fit_layer(low, above, num_iterations=3, **options)
    state = init(key, low, nodes_per_channel=6)
    curve = []
    for _ in range(3):
        state, likelihood = step(state, low, above)
        curve.append(likelihood)
    np.testing.assert_allclose(found.log_likelihood[:3], curve, rtol=1e-5)
    np.testing.assert_allclose(found.layer.means, state.layer.means, atol=1e-3)
    again = place(found.layer, low, above)
    for one, other in zip(again, found.placement, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("guided_by", ["nothing", "above"])
def test_the_likelihood_does_not_fall_with_the_exact_steps(guided_by):
    parts = oracle.synthetic(np.random.default_rng(5), num_images=5, noise=0.3)
    exact = Constants(candidates="cells", update="exact", frozen=True)
    with jax.enable_x64(True):
        top = Features(jnp.asarray(parts.upper_mass), jnp.ones(8))
        low = Features(jnp.asarray(parts.mass), jnp.ones(4))
        key = jax.random.key(0)
        above = None
        if guided_by == "above":
            first = fit_layer(top, nodes_per_channel=6, num_iterations=2, key=key)
            above = Above(first.layer, first.placement, 14, 14)
        begun = init(key, low, nodes_per_channel=8)
        for _ in range(2):
            begun, _ = step(begun, low, above)
        curve = []
        for _ in range(12):
            begun, likelihood = step(begun, low, above, constants=exact)
            curve.append(float(likelihood))
    rises = np.diff(curve)
    assert (rises >= -1e-6 * np.abs(curve[0])).all()
    assert rises[0] > 1e-4 * np.abs(curve[0])


def test_where_all_densities_vanish_nothing_is_explained():
    means = jnp.array([[3.0, 3.0], [9.0, 9.0]])
    prior = unguided(means, SIDE)._replace(agreement=jnp.zeros(2))
    at = density(prior, jnp.ones(2), SIDE, 1, 0.1)
    mass = jnp.zeros((1, SIDE, SIDE)).at[0, 3, 3].set(1.0)
    found = explain(mass, prior, at, SIDE)
    assert found.weight.tolist() == [0, 0]
    assert found.pull.tolist() == [[0, 0], [0, 0]]
    assert np.isfinite(found.positions).all()
