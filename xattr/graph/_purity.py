"""Part purity: how often what a node or a channel marks is one and the same part."""

from math import floor

import numpy as np
from jaxtyping import Array, Bool, Float

from xattr._checks import check_count, check_positive
from xattr.graph._graph import Features

_RADIUS = 35 / 224


def landmark_discs(
    landmarks: Float[np.ndarray | Array, "i k 2"],
    *,
    size: tuple[int, int],
    radius: float = _RADIUS,
) -> Bool[np.ndarray, "i k h w"]:
    """Masks of parts that are only known by their landmarks: discs around these.

    Args:
      landmarks: (row, column) as shares of the image's height and width, not a number
        where invisible.
      size: height and width of the masks.
      radius: of the discs, as a share of the image's side.

    Returns:
      True where a pixel's middle is less than the radius from the landmark; nowhere for
      one that is invisible.

    Raises:
      ValueError: if `radius` is not positive.

    Example:
      >>> landmark_discs(np.array([[[0.5, 0.5]]]), size=(1, 5), radius=0.25).astype(int)
      array([[[[0, 1, 1, 1, 0]]]])
    """
    check_positive("radius", radius, _RADIUS)
    landmarks = np.asarray(landmarks)
    rows, columns = (
        (np.arange(length) + 0.5) / length - landmarks[..., axis, None]
        for axis, length in enumerate(size)
    )
    return rows[..., None] ** 2 + columns[..., None, :] ** 2 < radius**2


def part_purity(
    positions: Float[np.ndarray | Array, "i v 2"],
    scores: Float[np.ndarray | Array, "i v"],
    masks: Bool[np.ndarray | Array, "i k h w"],
    *,
    num_images: int = 20,
    radius: float = _RADIUS,
    threshold: float = 0.2,
) -> Float[np.ndarray, " v"]:
    r"""In what share of its best images each node is on the part that it prefers.

    With $B_V^I$ the disc around the node in image $I$, $M_k^I$ the part, and $I$
    running through the images where the node scores highest:

    $$ \max_k \operatorname{mean}_I
       \Big[ \frac{|B_V^I \cap M_k^I|}{|B_V^I \cup M_k^I|} > t \Big] $$

    Args:
      positions: (row, column) of the nodes, as shares of the image's height and width.
      scores: of the nodes.
      masks: True inside part $k$, nowhere in an image where it is invisible; for
        landmarks, those of `landmark_discs`.
      num_images: how many of the images where a node scores highest count; all, if
        there are fewer.
      radius: of the disc, as a share of the image's side. The disc ends at the border
        of the image, and its middle is that of the pixel that the node is in.
      threshold: $t$, in [0, 1).

    Returns:
      A share in [0, 1] for each node; larger is better.

    Raises:
      TypeError: if masks are not True and False.
      ValueError: if shapes do not fit, positions or scores are not finite, or `radius`
        or `threshold` is out of range.

    Example:
      >>> masks = landmark_discs(np.array([[[0.5, 0.5]], [[0.5, 0.5]]]), size=(56, 56))
      >>> positions = np.array([[[0.5, 0.5]], [[0.1, 0.9]]])
      >>> part_purity(positions, np.ones((2, 1)), masks)
      array([0.5])

    References:
      [zhang2018interpretable].

    Notes:
      The purity of a graph's nodes was judged by people. This is the automatic measure
      that was published for the channels of a network, see `filter_purity`, with a
      disc in the place of a channel's valid region. Images that lack the part count
      against the node, as patches that show something else do.
    """
    positions, scores = np.asarray(positions), np.asarray(scores)
    masks = _checked(masks, len(scores), threshold)
    check_positive("radius", radius, _RADIUS)
    check_count("num_images", num_images)
    if positions.shape != (*scores.shape, 2):
        raise ValueError(
            f"`positions` has shape {positions.shape} and `scores` {scores.shape}; "
            "they must be of the same images and nodes: i v 2 and i v."
        )
    if not (np.isfinite(positions).all() and np.isfinite(scores).all()):
        raise ValueError(
            "`positions` or `scores` are not finite; a node is somewhere in each image,"
            " and has the score 0 where it explains nothing."
        )
    images = np.argsort(-scores, axis=0, kind="stable")[:num_images]
    size = np.array(masks.shape[2:])
    at = positions[images, np.arange(scores.shape[1])]
    pixels = np.clip(np.floor(at * size), 0, size - 1).astype(int)
    purity = np.zeros(scores.shape[1])
    for part in masks.swapaxes(0, 1):
        marked = _disc_overlaps(part, radius) > threshold
        share = marked[images, pixels[..., 0], pixels[..., 1]].mean(0)
        purity = np.maximum(purity, share)
    return purity


def filter_purity(
    features: Features,
    masks: Bool[np.ndarray | Array, "i k h w"],
    *,
    probability: float = 0.005,
    threshold: float = 0.2,
) -> Float[np.ndarray, " d"]:
    r"""In what share of the images each channel marks the part that it prefers.

    The valid region $R_d$ of a channel are the cells whose activation exceeds $T_d$,
    with $T_d$ the lowest activation such that no more than the share `probability` of
    all cells of all images exceed it. With $I$ running through the images that show
    part $k$:

    $$ \max_k \operatorname{mean}_I
       \Big[ \frac{|R_d^I \cap M_k^I|}{|R_d^I \cup M_k^I|} > t \Big] $$

    Args:
      features: of a site in images.
      masks: True inside part $k$, nowhere in an image where it is invisible; their
        height and width must be multiples of the site's, so that whole pixels make up
        a cell.
      probability: share of the cells that are valid, in (0, 1).
      threshold: $t$, in [0, 1).

    Returns:
      A share in [0, 1] for each channel; larger is better.

    Raises:
      TypeError: if masks are not True and False.
      ValueError: if shapes do not fit, `probability` or `threshold` is out of range, or
        the masks show no part.

    Example:
      >>> features = Features(np.array([[[[5.0], [1.0], [1.0]]]]), np.ones(1))
      >>> masks = np.array([[[[True, False, False]]]])
      >>> filter_purity(features, masks, probability=0.4)
      array([1.])

    References:
      [zhang2018interpretable]; [bau2017network].

    Notes:
      A valid cell is enlarged to the pixels that it stands for, and not interpolated.
      Network dissection takes a threshold of 0.04.
    """
    levels = np.asarray(features.levels)
    i, h, w, d = levels.shape
    masks = _checked(masks, i, threshold)
    height, width = masks.shape[2:]
    if height % h or width % w:
        raise ValueError(
            f"`masks` are of {height} x {width} pixels, and the site has {h} x {w} "
            f"cells; each must be whole pixels, as in `landmark_discs(landmarks, "
            f"size=({8 * h}, {8 * w}))`."
        )
    if not 0 < probability < 1:
        raise ValueError(
            f"`probability`={probability} must be in (0, 1): `probability=0.005`."
        )
    shown = masks.any((2, 3)).sum(0)
    if not shown.any():
        raise ValueError("`masks` are True nowhere: no part is seen in any image.")
    flat = levels.reshape(i, h * w, d)
    rank = i * h * w - 1 - floor(probability * i * h * w + 1e-9)
    limits = np.partition(flat.reshape(-1, d), rank, axis=0)[rank]
    cells = masks.reshape(i, -1, h, height // h, w, width // w).mean((3, 5))
    marked = np.zeros((d, len(shown)))
    for level, part in zip(flat, cells.reshape(i, -1, h * w), strict=True):
        valid = (level > limits).astype(float)
        both = valid.T @ part.T
        either = valid.sum(0)[:, None] + part.sum(1) - both
        marked += both > threshold * either
    seen = shown > 0
    return (marked[:, seen] / shown[seen]).max(1)


def _checked(
    masks: Bool[np.ndarray | Array, "i k h w"], num_images: int, threshold: float
) -> Bool[np.ndarray, "i k h w"]:
    masks = np.asarray(masks)
    if masks.dtype != bool:
        raise TypeError(
            f"`masks` is {masks.dtype}{list(masks.shape)}; it must be True inside a "
            "part, `masks > 0`; for landmarks `landmark_discs(landmarks, size=...)`."
        )
    if masks.ndim != 4 or len(masks) != num_images:
        raise ValueError(
            f"`masks` has shape {masks.shape} for {num_images} images; it must be "
            "i k h w, one mask for each image and part."
        )
    if not 0 <= threshold < 1:
        raise ValueError(
            f"`threshold`={threshold}; it must be in [0, 1): `threshold=0.2`."
        )
    return masks


def _disc_overlaps(
    masks: Bool[np.ndarray, "i h w"], radius: float
) -> Float[np.ndarray, "i h w"]:
    """Intersection over union of each mask and the disc around each pixel."""
    size = np.array(masks.shape[1:])
    reach = np.minimum(np.floor(radius * size).astype(int), size - 1)
    rows, columns = (
        np.arange(-far, far + 1) / length
        for far, length in zip(reach, size, strict=True)
    )
    disc = rows[:, None] ** 2 + columns**2 < radius**2
    padded = tuple((size + 2 * reach).tolist())
    spectrum = np.fft.rfft2(disc, padded)
    own = tuple(
        slice(far, far + length) for far, length in zip(reach, size, strict=True)
    )

    def pixels_inside(mask: Bool[np.ndarray, "h w"]) -> np.ndarray:
        found = np.fft.irfft2(np.fft.rfft2(mask, padded) * spectrum, padded)
        # They are counts, but for the rounding of the transform.
        return np.rint(found[own])

    disc_sizes = pixels_inside(np.ones(masks.shape[1:], bool))
    both = np.array([pixels_inside(mask) for mask in masks])
    return both / (disc_sizes + masks.sum((1, 2))[:, None, None] - both)
