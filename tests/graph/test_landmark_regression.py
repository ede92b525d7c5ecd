import numpy as np
import pytest

from tests.oracles import graph_landmark_regression as oracle
from xattr.graph._landmark_regression import landmark_regression, regression_intervals


def case(seed=0, images=40, nodes=6, parts=3):
    """Nodes that follow a part more or less, and parts that some images don't show."""
    rng = np.random.default_rng(seed)
    landmarks = rng.uniform(size=(images, parts, 2))
    noise = rng.uniform(size=(images, nodes, 2))
    share = np.linspace(0.1, 0.9, nodes)[:, None]
    positions = share * landmarks[:, :1] + (1 - share) * noise
    landmarks[rng.uniform(size=(images, parts)) < 0.3] = np.nan
    return positions, landmarks, rng.uniform(size=images) < 0.5


def test_equals_least_squares_for_each_node_and_landmark():
    positions, landmarks, fitted = case()
    found = landmark_regression(positions, landmarks, fitted)
    for shares, asked in zip(found, (fitted, ~fitted), strict=True):
        slow = oracle.unexplained(positions, landmarks, fitted, asked)
        np.testing.assert_allclose(shares, slow, rtol=1e-5)
    assert ((found.fitted >= 0) & (found.fitted <= 1)).all()


def test_more_nodes_than_fit_at_once_are_all_measured():
    positions, landmarks, fitted = case(images=12, nodes=600, parts=1)
    found = landmark_regression(positions, landmarks, fitted)
    last = landmark_regression(positions[:, -5:], landmarks, fitted)
    np.testing.assert_allclose(found.held_out[-5:], last.held_out, rtol=1e-9)


def test_a_node_at_rest_explains_nothing_and_one_on_the_object_all():
    _, landmarks, fitted = case(parts=1)
    tracker = np.nan_to_num(landmarks, nan=0.5)
    # Rounding in single precision is no motion.
    rest = np.full_like(tracker, 0.1) + np.float32(1e-8) * tracker
    turned = 0.3 + 0.5 * tracker[..., ::-1]
    positions = np.concatenate([tracker, turned, rest], 1)
    found = landmark_regression(positions, landmarks, fitted)
    np.testing.assert_allclose(found.held_out[:, 0], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(found.fitted[:, 0], [0, 0, 1], atol=1e-6)


def test_by_hand():
    # Rows alone move. The fitted slope is 2, from (0, 0.1) and (0.2, 0.5): it says 0.3
    # where the landmark is at 0.4, and 0.7 where it is at 0.6. The fitted mean is 0.3.
    rows = np.array([0.0, 0.2, 0.1, 0.3])
    marks = np.array([0.1, 0.5, 0.4, 0.6])
    positions, landmarks = (
        np.stack([x, np.full(4, 0.5)], -1)[:, None] for x in (rows, marks)
    )
    fitted = np.array([True, True, False, False])
    found = landmark_regression(positions, landmarks, fitted)
    np.testing.assert_allclose(found.fitted, [[0]], atol=1e-6)
    np.testing.assert_allclose(found.held_out, [[0.02 / 0.1]], rtol=1e-5)


def test_landmarks_that_tell_nothing_are_no_numbers():
    positions, landmarks, fitted = case(parts=3)
    landmarks[:, 0] = 0.3
    landmarks[np.flatnonzero(fitted)[1:], 1] = np.nan
    found = landmark_regression(positions, landmarks, fitted)
    for shares in found:
        assert np.isnan(shares).all(0).tolist() == [True, True, False]
    mean = regression_intervals(positions, landmarks, fitted, num_draws=3).mean
    assert mean.mean == pytest.approx(found.held_out[:, 2].mean())


def test_draws_are_what_resampled_images_give():
    positions, landmarks, fitted = case(images=60)
    found = regression_intervals(positions, landmarks, fitted, num_draws=4, seed=3)
    rng = np.random.default_rng(3)
    for mean, best in zip(found.mean.draws, found.best.draws, strict=True):
        rows = rng.integers(60, size=60)
        again = landmark_regression(positions[rows], landmarks[rows], fitted[rows])
        assert mean == pytest.approx(again.held_out.mean())
        strongest = again.fitted.argmin(0)
        assert best == pytest.approx(again.held_out[strongest, range(3)].mean())
    whole = landmark_regression(positions, landmarks, fitted)
    assert found.mean.mean == pytest.approx(whole.held_out.mean())
    assert found.mean.low < found.mean.mean < found.mean.high


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"landmarks": np.zeros((3, 1, 2))}, "i v 2, i k 2 and i"),
        ({"landmarks": np.full((2, 1, 2), 7.0)}, "`landmarks` run from 7 to 7"),
        ({"positions": np.full((2, 1, 2), np.nan)}, "`positions` are not finite"),
        ({"fitted": np.array([True, True])}, "`fitted` chooses 2 of 2 images"),
    ],
)
def test_errors(change, match):
    given = {
        "positions": np.zeros((2, 1, 2)),
        "landmarks": np.zeros((2, 1, 2)),
        "fitted": np.array([True, False]),
    } | change
    with pytest.raises(ValueError, match=match):
        landmark_regression(**given)
