"""What a node finds: pieces of the images in which it scores highest."""

import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from xattr._checks import check_count, check_positive

# Nearer to the border a patch would be a magnified blur of a few pixels.
_LEAST = 0.25


def node_strengths(
    scores: Float[np.ndarray | Array, "i v"], *, num_scores: int = 50
) -> Float[np.ndarray, " v"]:
    """How much each node explains in the images that it explains most of.

    Args:
      scores: of the nodes in many images.
      num_scores: how many of a node's highest scores count; all, if there are fewer.

    Returns:
      The sum of these scores, in their unit.

    Raises:
      ValueError: if a score is not finite.

    Example:
      >>> node_strengths(np.array([[1.0, 2.0], [3.0, 2.0], [0.0, 2.0]]), num_scores=2)
      array([4., 4.])

    References:
      [zhang2018interpreting].
    """
    check_count("num_scores", num_scores)
    scores = _finite(scores)
    if num_scores < len(scores):
        scores = np.partition(scores, -num_scores, axis=0)[-num_scores:]
    return scores.sum(0)


def top_nodes(
    scores: Float[np.ndarray | Array, "i v"],
    *,
    num_nodes: int = 20,
    num_scores: int = 50,
) -> Int[np.ndarray, " n"]:
    """The nodes of a layer that explain most.

    Args:
      scores: of the layer's nodes in many images.
      num_nodes: how many are wanted; all come, in order, if there are fewer.
      num_scores: as in `node_strengths`, by which nodes are ranked.

    Returns:
      Numbers of nodes, the strongest first.

    Raises:
      ValueError: if a score is not finite.

    Example:
      >>> top_nodes(np.array([[1.0, 5.0, 2.0]]), num_nodes=2).tolist()
      [1, 2]

    References:
      [zhang2018interpreting].
    """
    check_count("num_nodes", num_nodes)
    strengths = node_strengths(scores, num_scores=num_scores)
    return np.argsort(-strengths, kind="stable")[:num_nodes]


def top_images(
    scores: Float[np.ndarray | Array, "i v"], *, num_images: int = 5
) -> Int[np.ndarray, "v p"]:
    """The images in which each node scores highest.

    Args:
      scores: of the nodes in many images.
      num_images: how many are wanted.

    Returns:
      Numbers of images, the highest score first.

    Raises:
      ValueError: if a score is not finite, or there are fewer images.

    Example:
      >>> top_images(np.array([[1.0], [5.0], [2.0]]), num_images=2).tolist()
      [[1, 2]]
    """
    check_count("num_images", num_images)
    scores = _finite(scores)
    if num_images > len(scores):
        raise ValueError(
            f"`num_images`={num_images}, but there are scores of {len(scores)} images: "
            f"`num_images={len(scores)}`."
        )
    return np.argsort(-scores, axis=0, kind="stable")[:num_images].T


def top_patches(
    images: UInt8[np.ndarray, "i h w 3"],
    positions: Float[np.ndarray, "i v 2"],
    scores: Float[np.ndarray | Array, "i v"],
    *,
    num_patches: int = 5,
    size: float = 70 / 224,
) -> UInt8[np.ndarray, "v p s s 3"]:
    """Pieces of the images around each node, where its score is highest.

    Args:
      images: photographs as the network saw them.
      positions: of the nodes, as shares of the image's height and width.
      scores: of the nodes; pass the columns of those that are to be shown.
      num_patches: how many of each node.
      size: side of a patch, as a share of the image's shorter side.

    Returns:
      Squares with the node in the middle, the highest score first. Nearer to the
      border than half a patch the square is smaller, so that the node stays in the
      middle, and is enlarged; at a quarter of `size` it shrinks no more, and is moved
      inside.

    Raises:
      ValueError: if numbers of images or nodes differ, `size` is not in (0, 1], a score
        or a position is not finite, or there are fewer images than patches.

    Example:
      >>> image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(3, -1)
      >>> middle, score = np.full((1, 1, 2), 0.5), np.ones((1, 1))
      >>> top_patches(image, middle, score, num_patches=1, size=0.5)[0, 0, ..., 0]
      array([[ 5,  6],
             [ 9, 10]], dtype=uint8)

    References:
      [zhang2018interpreting].

    Notes:
      The published code shrinks without end; a node at the very border has no patch.
    """
    check_positive("size", size, 0.3)
    if size > 1:
        raise ValueError(
            f"`size`={size} is a share of the image: 70 pixels of 224 are "
            "`size=70 / 224`."
        )
    images, positions, scores = map(np.asarray, (images, positions, scores))
    if positions.shape != (*scores.shape, 2) or len(images) != len(scores):
        raise ValueError(
            f"`images`, `positions` and `scores` have the shapes {images.shape}, "
            f"{positions.shape} and {scores.shape}; they must be of the same images "
            "and nodes: i h w 3, i v 2 and i v."
        )
    if not np.isfinite(positions).all():
        raise ValueError("`positions` are not finite; a node is somewhere in each.")
    chosen = top_images(scores, num_images=num_patches)
    extent = np.array(images.shape[1:3], float)
    half = size * extent.min() / 2
    centres = positions[chosen, np.arange(len(chosen))[:, None]] * extent
    room = np.minimum(centres, extent - centres).min(-1)
    halves = np.clip(room, _LEAST * half, half)[..., None]
    centres = np.clip(centres, halves, extent - halves)
    side = max(round(2 * half), 1)
    # Places of the patch's pixels from its middle, in halves of its side.
    steps = (np.arange(side) + 0.5) * 2 / side - 1
    places = centres[..., None] + halves[..., None] * steps
    patches = np.empty((*chosen.shape, side, side, 3), np.uint8)
    for node, patch in np.ndindex(chosen.shape):
        patches[node, patch] = _sample(
            images[chosen[node, patch]], *places[node, patch]
        )
    return patches


def _sample(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear values at places in pixels; the first pixel's middle is at 0.5."""
    values = image
    for axis, places in enumerate((rows, columns)):
        last = values.shape[axis] - 1
        exact = np.clip(places - 0.5, 0, last)
        low = np.floor(exact).astype(int)
        weight = (exact - low).reshape((-1, *(1,) * (2 - axis)))
        below, above = (
            values.take(np.minimum(low + k, last), axis).astype(np.float32)
            for k in (0, 1)
        )
        values = below + weight.astype(np.float32) * (above - below)
    return np.rint(values).astype(np.uint8)


def _finite(scores: Float[np.ndarray | Array, "i v"]) -> np.ndarray:
    scores = np.asarray(scores)
    if not np.isfinite(scores).all():
        raise ValueError(
            "`scores` are not finite, so that nodes and images cannot be ranked; a "
            "node that explains nothing has the score 0."
        )
    return scores
