"""The slow restatement of explanatory graphs, on what can be computed by hand."""

from dataclasses import replace
from fractions import Fraction
from math import exp, log, pi, sqrt

import numpy as np
import pytest

from tests.oracles import explanatory_graph as oracle


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def density(x, s):
    return exp(-(x**2) / (2 * s**2)) / (sqrt(2 * pi) * s)


def one_node(mean=(4.2, 5.1), scale=1.5, value=2.0):
    """A node at rest on a map of 10 cells, of which one is active."""
    mass = np.zeros((1, 10, 10, 1))
    mass[0, 4, 5, 0] = value
    means, scales = np.array([mean]), np.array([scale])
    return oracle.expectation(mass, means, scales, None, first=True)


def test_one_node_in_one_image():
    found = one_node()
    # Half of 0.3 * 10 cells rounds up to 2; the window begins at (2, 3).
    assert found.radii.tolist() == [2]
    assert found.corners[0, 0].tolist() == [2, 3]
    assert found.widths.tolist() == [1.5]
    # Of the four candidates around the active cell, this is nearest to the mean.
    np.testing.assert_allclose(found.positions[0, 0], [13 / 3, 16 / 3])
    prior = density(13 / 3 - 4.2, 1.5) * density(16 / 3 - 5.1, 1.5)
    activation = 2 * density(sqrt(2) / 3, 0.25)
    assert found.prior[0, 0, 3, 3] == pytest.approx(prior)
    assert found.activation[0, 0, 3, 3] == pytest.approx(activation)
    assert found.peaks[0, 0] == pytest.approx(prior * activation)
    # Beyond three standard deviations the kernel stays what it is there.
    assert found.activation[0, 0, 0, 5] == pytest.approx(2 * density(0.75, 0.25))
    tau = 0.1 * found.prior.sum()
    assert found.tau[0] == pytest.approx(tau)
    assert found.responsibilities[0, 0, 3, 3] == pytest.approx(prior / (prior + tau))


def test_what_no_node_explains_is_a_share_of_the_mean_node():
    mass = np.ones((1, 10, 10, 2))
    # Three nodes see less of their Gaussian than the fourth, whose mean is whole.
    means = np.array([[4.5, 5.5], [4.4, 5.4], [4.3, 5.3], [4.0, 5.0]])
    found = oracle.expectation(mass, means, np.ones(4), None, first=True, tau=0.2)
    tau = 0.2 * sum(found.prior[0, v].sum() for v in range(4)) / 4
    assert found.tau[0] == pytest.approx(tau)
    others = oracle.sum_of_priors(found.prior[0], found.corners[0], found.radii, 2)
    expected = found.prior[0, 3, 2, 2] / (others[3, 2, 2] + tau)
    assert found.responsibilities[0, 3, 2, 2] == pytest.approx(expected)


def test_the_score_is_a_sum_over_candidates_and_the_likelihood_over_units():
    found = one_node()
    score = 0.0
    for p, f in zip(found.prior.ravel(), found.activation.ravel(), strict=True):
        score += p * f
    assert found.scores[0, 0] == pytest.approx(score)
    # Of the one active unit, at row 4 and column 5.
    node = density(4 - 4.2, 1.5) * density(5 - 5.1, 1.5)
    likelihood = 2 * log(node + 0.1 * found.prior.sum())
    assert found.log_likelihood == pytest.approx(likelihood)


def test_windows_are_at_least_one_cell_and_no_wider_than_three_scales():
    scales = np.array([0.1, 0.4, 0.6, 5.0])
    found = oracle.expectation(
        np.ones((1, 40, 40, 1)), np.zeros((4, 2)), scales, None, first=True
    )
    assert found.radii.tolist() == [1, 1, 2, 6]


def test_mass_is_gathered_from_the_window_and_is_zero_outside_the_map(rng):
    mass = rng.uniform(size=(10, 10, 2))
    corners, radii = np.array([[-2, 7], [3, 3]]), np.array([2, 1])
    found = oracle.smoothed(mass, corners, radii)
    for v, (a, b) in ((0, (4, 1)), (1, (0, 5))):
        candidate = corners[v] + (np.array([a, b]) + 0.5) * radii[v] / 3
        total = 0.0
        for y in range(corners[v][0], corners[v][0] + 2 * radii[v] + 1):
            for x in range(corners[v][1], corners[v][1] + 2 * radii[v] + 1):
                if 0 <= y < 10 and 0 <= x < 10:
                    distance = np.hypot(candidate[0] - y, candidate[1] - x)
                    total += mass[y, x, v] * density(min(distance, 0.75), 0.25)
        assert found[v, a, b] == pytest.approx(total)


def test_priors_of_a_channel_add_at_the_nearest_candidate(rng):
    prior = rng.uniform(size=(4, 6, 6))
    # The second node's window lies a cell lower; the last two are another channel's.
    corners = np.array([[0, 0], [1, 0], [0, 0], [9, 9]])
    total = oracle.sum_of_priors(prior, corners, np.full(4, 2), 2)
    expected = prior.copy()
    expected[0, 1:] += prior[1, :5]
    # The fifth row of candidates lies on the first window's last cell.
    expected[1, :5] += prior[0, [2, 3, 4, 5, 5]]
    np.testing.assert_allclose(total, expected)


def test_nearest_candidates_of_windows_of_many_sizes(rng):
    num = 5
    prior = rng.uniform(size=(num, 6, 6))
    corners, radii = rng.integers(-3, 4, (num, 2)), rng.integers(1, 5, num)

    def nearest(x, corner, radius):
        """Index of the candidate, of two as near the second; none outside."""
        if not corner <= x <= corner + 2 * radius:
            return None
        middles = [corner + Fraction(2 * q + 1, 6) * radius for q in range(6)]
        return min(range(5, -1, -1), key=lambda q: abs(x - middles[q]))

    expected = np.zeros_like(prior)
    for v, a, b in np.ndindex(*prior.shape):
        lows, size = [int(x) for x in corners[v]], int(radii[v])
        y = lows[0] + Fraction(2 * a + 1, 6) * size
        x = lows[1] + Fraction(2 * b + 1, 6) * size
        for u in range(num):
            row = nearest(y, int(corners[u, 0]), int(radii[u]))
            column = nearest(x, int(corners[u, 1]), int(radii[u]))
            if row is not None and column is not None:
                expected[v, a, b] += prior[u, row, column]
    total = oracle.sum_of_priors(prior, corners, radii, 1)
    np.testing.assert_allclose(total, expected)


@pytest.mark.parametrize(("compat", "ratio"), [("matlab", 1), (None, 2)])
def test_two_parents(compat, ratio):
    # One moved a cell down, the other, less certain, a cell up.
    upper = np.array([[[4.0, 3], [2, 3]], [[2, 3], [4, 3]]])
    found = oracle.expectation(
        np.ones((2, 14, 14, 1)),
        np.array([[6.0, 6.0]]),
        np.array([1.0]),
        np.array([[0, 1]]),
        upper,
        upper.mean(0),
        np.array([1.0, 2.0]),
        upper_side=7,
        first=False,
        compat=compat,
    )
    # Weights 1/2 and 1/8 of moves 1 and -1, in cells of the layer above.
    np.testing.assert_allclose(found.shifts[:, 0, 0], [0.6 * ratio, -0.6 * ratio])
    np.testing.assert_allclose(found.shifts[:, 0, 1], 0)
    width = ratio / sqrt(5 / 8)
    assert found.widths[0] == pytest.approx(width)
    disagreement = exp(-(0.4**2) / 4) * exp(-(1.6**2) / 16)
    expected = width * disagreement / ratio / (2 * ratio)
    np.testing.assert_allclose(found.agreement, expected)
    np.testing.assert_allclose(found.centres[0, 0], [6 + 0.6 * ratio, 6])


def test_a_single_parent_agrees_with_itself(rng):
    upper = rng.uniform(2, 5, (3, 2, 2))
    found = oracle.expectation(
        np.ones((3, 14, 14, 1)),
        np.full((2, 2), 6.0),
        np.ones(2),
        np.array([[1], [0]]),
        upper,
        upper.mean(0),
        np.array([0.7, 1.3]),
        upper_side=14,
        first=False,
    )
    np.testing.assert_allclose(found.agreement, 1)
    np.testing.assert_allclose(found.widths, [1.3, 0.7])
    np.testing.assert_allclose(found.shifts, (upper - upper.mean(0))[:, ::-1])


def test_the_first_mean_is_the_mean_of_what_the_node_explains():
    found = one_node()
    taken = (found.responsibilities * found.activation)[0, 0]
    at = [corner + (np.arange(6) + 0.5) * 2 / 3 for corner in (2, 3)]
    expected = [
        (taken.sum(1) * at[0]).sum() / taken.sum(),
        (taken.sum(0) * at[1]).sum() / taken.sum(),
    ]
    old = np.array([[4.2, 5.1]])
    options = {"scales": np.array([1.5]), "rho": 0.05}
    first, _ = oracle.maximization(found, old, iteration=1, **options)
    np.testing.assert_allclose(first[0], expected)
    fourth, _ = oracle.maximization(found, old, iteration=4, **options)
    np.testing.assert_allclose(fourth - old, (first - old) / 2)


def test_wider_nodes_move_less():
    mass = np.zeros((1, 10, 10, 2))
    mass[:, 4, 5] = 1
    means, scales = np.array([[4.2, 5.1]] * 2), np.full(2, 1.5)
    found = oracle.expectation(mass, means, scales, None, first=True)
    found = replace(found, widths=np.array([1.0, 2.0]))
    new, _ = oracle.maximization(found, means, scales, iteration=1, rho=0.05)
    np.testing.assert_allclose(new[1] - means[1], (new[0] - means[0]) / 4)


@pytest.mark.parametrize(
    ("bin", "compat", "expected"),
    [
        ((0, 5), "matlab", sqrt(12.5) * 2 / 3),
        ((0, 5), None, 2.5 * 2 / 3),
        ((2, 3), "matlab", sqrt(0.5) * 2 / 3),
        ((2, 3), None, 0.1 / sqrt(0.05)),
    ],
)
def test_scales_are_distances_from_the_middle(bin, compat, expected):
    found = one_node()
    alone = np.zeros((1, 1, 6, 6))
    alone[0, 0, *bin] = 1
    _, scales = oracle.maximization(
        replace(found, activation=alone),
        np.array([[4.2, 5.1]]),
        np.array([1.5]),
        iteration=1,
        rho=0.05,
        compat=compat,
    )
    assert scales[0] == pytest.approx(expected)


def test_a_node_that_sees_nothing_stays_as_it_is():
    means, scales = np.array([[4.2, 5.1]]), np.array([0.01])
    found = one_node(value=0.0)
    new = oracle.maximization(found, means, scales, iteration=1, rho=0.05)
    np.testing.assert_array_equal(new[0], means)
    np.testing.assert_array_equal(new[1], scales)


# How one thing moves, and another that has nothing to do with it.
ONE = np.array([[0, 0], [2, 0], [0, 2], [2, 2], [1, 0.0]])
OTHER = np.array([[2, 2], [0, 2], [2, 0], [0, 0], [1, 2.0]])


def parents_of(moves, rest, scores, **options):
    """Parents of a node that moves as ONE, in a layer whose nodes move as given."""
    upper = np.stack([r + m for r, m in zip(rest, moves, strict=True)], 1)
    kwargs = {
        "upper_side": 14,
        "side": 14,
        "stride": 16,
        "upper_stride": 16,
        "num_parents": 1,
        "peaks": np.ones((5, 1)),
        "positions": 6 + ONE[:, None],
    }
    kwargs |= options
    together = np.tile(scores, (5, 1))
    return oracle.edges(upper, together, **kwargs)[0].tolist()


STILL = [0 * ONE] * 3


def test_parents_move_alike_best_first():
    moves = [OTHER, 0.5 * ONE, ONE, *STILL]
    found = parents_of(moves, [6.0] * 6, [3, 2, 1, 9, 9, 9], num_parents=3)
    assert found == [2, 1, 0]


def test_equal_parents_are_ordered_by_score_and_then_by_index():
    moves = [ONE, ONE, ONE, *STILL]
    assert parents_of(moves, [6.0] * 6, [1, 2, 2, 9, 9, 9], num_parents=3) == [1, 2, 0]


def test_the_still_half_of_the_layer_is_never_chosen():
    still = {"moves": [ONE, *STILL, OTHER], "rest": [6.0] * 5}
    with pytest.raises(ValueError, match="3 candidates for 4 parents"):
        parents_of(**still, scores=[1, 9, 8, 7, 1], num_parents=4)
    # Two of the three that do not move: of equal ones, those with high scores go.
    found = parents_of(**still, scores=[1, 9, 8, 7, 1], num_parents=3)
    assert sorted(found) == [0, 3, 4]


def test_only_the_best_scored_candidates_are_kept():
    moves = [ONE, OTHER, 0.9 * OTHER, *STILL]
    rest, scores = [6.0] * 6, [1, 3, 2, 9, 9, 9]
    assert parents_of(moves, rest, scores, num_candidates=3) == [0]
    found = parents_of(moves, rest, scores, num_candidates=2, num_parents=2)
    assert set(found) == {1, 2}


@pytest.mark.parametrize(("compat", "expected"), [(None, [1]), ("matlab", [2])])
def test_nodes_at_the_border_are_left_out(compat, expected):
    # On average they are 0.5, 1.1 and 6.49 cells from the map's top and left; the
    # borders are 0.7 cells wide on 7 cells, and 2.8 on 28.
    moves = [0.4 * ONE, 0.4 * ONE, 0.39 * ONE, *STILL]
    rest = [-0.4, 0.2, 5.6, 3.0, 3.0, 3.0]
    found = parents_of(
        moves, rest, [9, 2, 1, 1, 1, 1], upper_side=7, side=28, compat=compat
    )
    assert found == expected


def test_moves_are_compared_in_pixels():
    moves = [0.5 * ONE, ONE, 2 * ONE, *STILL]
    alike = parents_of(moves, [6.0] * 6, [1] * 6, side=28, stride=8)
    assert alike == [0]


def test_images_count_by_how_active_the_node_is():
    # The second is right in all images but the last, the first only in the last.
    late = np.concatenate([OTHER[:4], ONE[4:]])
    early = np.concatenate([ONE[:4], OTHER[4:]])
    moves, rest, scores = [late, early, *STILL[:2]], [6.0] * 4, [1] * 4
    assert parents_of(moves, rest, scores) == [1]
    peaks = np.array([[0.0], [0], [0], [0], [1]])
    assert parents_of(moves, rest, scores, peaks=peaks) == [0]


def test_parents_are_those_of_the_loop(rng):
    upper, own = rng.uniform(4, 9, (6, 40, 2)), rng.uniform(4, 9, (6, 10, 2))
    scores, peaks = rng.uniform(size=(6, 40)), rng.uniform(size=(6, 10))
    parents = oracle.edges(
        upper,
        scores,
        own,
        peaks,
        upper_side=14,
        side=14,
        stride=8,
        upper_stride=16,
        num_parents=4,
        num_candidates=15,
    )
    variance = [np.var(upper[:, u, 0]) + np.var(upper[:, u, 1]) for u in range(40)]
    moving = sorted(range(40), key=lambda u: variance[u])[20:]
    candidates = sorted(moving, key=lambda u: -scores[:, u].sum())[:15]
    for v in range(10):
        moved = [8 * (own[i, v] - own[:, v].mean(0)) for i in range(6)]
        apart = {
            (u, i): ((moved[i] - 16 * (upper[i, u] - upper[:, u].mean(0))) ** 2).sum()
            for u in candidates
            for i in range(6)
        }
        mean = sum(apart.values()) / len(apart)
        together = {
            u: sum(peaks[i, v] * exp(-apart[u, i] / (2 * mean)) for i in range(6))
            for u in candidates
        }
        assert parents[v].tolist() == sorted(together, key=lambda u: -together[u])[:4]


def test_blobs_move_with_their_parts(rng):
    data = oracle.synthetic(rng, num_images=4, num_parts=3, upper_channels=6)
    assert data.upper_parts.tolist() == [0, 1, 2, 0, 1, 2]
    assert (data.parts[:, 0] != data.parts[:, 1]).all()
    moved = data.upper_positions - data.upper_positions[:1]
    np.testing.assert_allclose(moved[:, :3], moved[:, 3:])
    lower = data.positions - data.positions[:1]
    np.testing.assert_allclose(lower, 2 * moved[:, data.parts])
    peak = data.upper_mass[2, :, :, 5].argmax()
    at = np.array(np.divmod(peak, 14))
    assert np.abs(at - data.upper_positions[2, 5]).max() <= 0.5
    for b in (0, 1):
        row, column = np.round(data.positions[2, 1, b]).astype(int)
        assert data.mass[2, row, column, 1] > 0.75


def test_jitter_and_noise_are_the_only_differences():
    plain, shaken = (
        oracle.synthetic(np.random.default_rng(3), num_images=50, jitter=j, noise=0.1)
        for j in (0.0, 0.5)
    )
    off = shaken.positions - plain.positions
    assert off.std() == pytest.approx(0.5, rel=0.1)
    np.testing.assert_array_equal(shaken.upper_positions, plain.upper_positions)
    assert plain.mass.min() == 0
    assert plain.upper_mass[0].std() > 0.05


def test_nodes_follow_parts_and_find_their_parents(rng):
    data = oracle.synthetic(rng, num_images=16, channels=2)
    start = oracle.initial_means(rng, 14, 8, 20)
    upper = oracle.fit(data.upper_mass, start, stride=16, num_iterations=6)
    start = oracle.initial_means(rng, 28, 2, 40)
    options = {"upper": upper, "num_parents": 5, "num_iterations": 6}
    found = oracle.fit(data.mass, start, stride=8, **options)
    for d in range(2):
        nodes = slice(40 * d, 40 * (d + 1))
        for b in range(2):
            true = data.positions[:, d, None, b]
            errors = np.linalg.norm(found["positions"][:, nodes] - true, axis=-1)
            best = errors.mean(0).argmin()
            assert errors[:, best].mean() < 1
            parents = found["parents"][nodes][best]
            assert (data.upper_parts[parents // 20] == data.parts[d, b]).all()
    assert len(found["likelihoods"]) == len(found["history"]) == 7
    assert found["history"][0][2] is None
    np.testing.assert_array_equal(found["history"][6][2], found["parents"])


def test_translating_every_image_translates_the_layer(rng):
    mass = np.zeros((3, 20, 20, 2))
    mass[:, 5:14, 5:14] = rng.uniform(size=(3, 9, 9, 2))
    start = oracle.initial_means(rng, 16, 2, 6) + 1
    found, moved = (
        oracle.fit(np.roll(mass, by, (1, 2)), start + by, stride=16, num_iterations=3)
        for by in ((0, 0), (1, 2))
    )
    np.testing.assert_allclose(moved["means"], found["means"] + [1, 2])
    np.testing.assert_allclose(moved["scales"], found["scales"])
    np.testing.assert_allclose(moved["positions"], found["positions"] + [1, 2])
    np.testing.assert_allclose(moved["scores"], found["scores"])


def test_initial_means_are_distinct_cells(rng):
    means = oracle.initial_means(rng, 4, 3, 16)
    for channel in means.reshape(3, 16, 2):
        assert {tuple(x) for x in channel} == set(np.ndindex(4, 4))
