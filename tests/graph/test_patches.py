import numpy as np
import pytest

from tests.oracles import graph_patches as oracle
from xattr.graph._patches import node_strengths, top_images, top_nodes, top_patches

RNG = np.random.default_rng(0)
PHOTOS = RNG.integers(0, 256, (3, 24, 30, 3), np.uint8)


def test_patches_are_those_of_the_oracle_everywhere():
    positions = RNG.uniform(-0.05, 1.05, (3, 40, 2))
    scores = RNG.random((3, 40))
    patches = top_patches(PHOTOS, positions, scores, num_patches=2, size=0.4)
    assert patches.shape == (40, 2, 10, 10, 3)
    for node in range(40):
        best = sorted(range(3), key=lambda image: -scores[image, node])[:2]
        for found, image in zip(patches[node], best, strict=True):
            expected = oracle.patch(PHOTOS[image], positions[image, node], size=0.4)
            np.testing.assert_allclose(found, expected, atol=0.501)


def test_inside_it_is_a_piece_of_the_image():
    positions = np.array([[[12 / 24, 9 / 30]]])
    found = top_patches(PHOTOS[:1], positions, np.ones((1, 1)), num_patches=1, size=0.5)
    np.testing.assert_array_equal(found[0, 0], PHOTOS[0, 6:18, 3:15])


def test_near_the_border_it_is_smaller_with_the_node_in_the_middle():
    ramp = np.zeros((1, 40, 40, 3), np.uint8)
    ramp[:] = 6 * np.arange(40)[None, :, None]
    at = np.array([[[0.5, 6 / 40]]])
    found = top_patches(ramp, at, np.ones((1, 1)), num_patches=1, size=0.5)[0, 0]
    # 12 pixels from the left border, spread over the 20 of a patch.
    expected = 6 * np.clip((np.arange(20) + 0.5) * 12 / 20 - 0.5, 0, None)
    np.testing.assert_allclose(found[7, :, 0], expected, atol=0.501)


def test_a_node_in_the_corner_still_has_a_patch():
    corner, inside = np.full((1, 1, 2), -0.1), np.array([[[1.5 / 24, 1.5 / 30]]])
    at_corner, moved_inside = (
        top_patches(PHOTOS[:1], at, np.ones((1, 1)), num_patches=1, size=0.5)
        for at in (corner, inside)
    )
    # A quarter of the 12 pixels: the 3 x 3 in the corner, around (1.5, 1.5).
    np.testing.assert_array_equal(at_corner, moved_inside)
    np.testing.assert_array_equal(at_corner[0, 0, 0, 0], PHOTOS[0, 0, 0])


def test_the_strongest_nodes_and_their_images():
    scores = np.array([[1.0, 0.0, 9.0], [1.0, 4.0, 0.0], [1.0, 4.0, 0.0]])
    np.testing.assert_array_equal(node_strengths(scores, num_scores=2), [2, 8, 9])
    np.testing.assert_array_equal(node_strengths(scores), [3, 8, 9])
    assert top_nodes(scores, num_nodes=2, num_scores=2).tolist() == [2, 1]
    assert top_nodes(scores, num_scores=1).tolist() == [2, 1, 0]
    assert top_images(scores, num_images=2).tolist() == [[0, 1], [1, 2], [0, 1]]


def test_strengths_of_random_scores_by_sorting():
    scores = RNG.random((80, 7))
    expected = [sum(sorted(column)[-50:]) for column in scores.T]
    np.testing.assert_allclose(node_strengths(scores), expected)


def test_arguments_are_checked():
    positions, scores = np.zeros((3, 2, 2)), np.ones((3, 2))
    with pytest.raises(ValueError, match="`num_images`=5, but there are scores of 3"):
        top_patches(PHOTOS, positions, scores)
    with pytest.raises(ValueError, match="`size`=70 is a share"):
        top_patches(PHOTOS, positions, scores, size=70)
    with pytest.raises(ValueError, match="`size`=0; it must be positive"):
        top_patches(PHOTOS, positions, scores, size=0)
    with pytest.raises(ValueError, match="must be of the same images"):
        top_patches(PHOTOS[:2], positions, scores)
    with pytest.raises(ValueError, match="must be of the same images"):
        top_patches(PHOTOS, positions[:, :1], scores)
    with pytest.raises(ValueError, match="`positions` are not finite"):
        top_patches(PHOTOS, positions * np.nan, scores, num_patches=1)
    with pytest.raises(ValueError, match="`scores` are not finite"):
        top_nodes(scores * np.nan)
    with pytest.raises(ValueError, match="`num_nodes`=0"):
        top_nodes(scores, num_nodes=0)
