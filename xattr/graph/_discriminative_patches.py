"""Discriminative patches: detectors of what these images show, and others don't."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from xattr._checks import check_count, check_positive
from xattr.graph._graph import Features, Placement
from xattr.graph._k_means import Clusters, k_means
from xattr.graph._linear_svm import Hyperplane, linear_svm
from xattr.graph._patch_firings import (
    FIRES,
    check_size,
    draw_patches,
    fire,
    patches_at,
)

# Of the authors' code: how many patches of a cluster, and then firings of its detector,
# there must be, and how many count.
_LEAST, _MOST = 3, 10


class DiscriminativePatches(NamedTuple):
    """Linear detectors of patches, the best first.

    Attributes:
      weights: of the channels at each cell of a patch, whose features have length 1.
      biases: what is added to their sum.
      purity: mean score in the ten images where the detector scores highest, of those
        that it did not learn from.
      discriminativeness: share of its firings that are in the images of interest,
        between 0 and 1; 0.5 if it fires as often per patch in others.
    """

    weights: Float[Array, "v s s d"]
    biases: Float[Array, " v"]
    purity: Float[Array, " v"]
    discriminativeness: Float[Array, " v"]


def fit_discriminative_patches(
    positive: Features,
    negative: Features,
    *,
    size: int = 1,
    num_patches: int = 2000,
    num_negatives: int = 4000,
    num_rounds: int = 5,
    num_top: int = 5,
    cost: float = 5.0,
    key: PRNGKeyArray,
) -> DiscriminativePatches:
    """Detectors of patches that occur often in some images, and rarely in others.

    Both kinds of images are divided into halves. Patches drawn at random from one half
    are clustered. Then, in each round, a linear support vector machine tells each
    cluster from patches of the negative half, and becomes what fires highest in the
    half that it did not learn from; the halves change places.

    Args:
      positive: of the images whose parts are to be found.
      negative: of other images, at the same site.
      size: of a patch, in cells along either axis.
      num_patches: how many are clustered, into a quarter as many clusters.
      num_negatives: patches of each half of the negative images to learn from.
      num_rounds: how often detectors are trained.
      num_top: patches of a cluster after the first round, each of another image; 3 to
        10.
      cost: of patches within the margin, as for a linear support vector machine.
      key: of the halves, of what is drawn, and of the clusters.

    Returns:
      The detectors, sorted by the sum of purity and discriminativeness.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if there are too few images or cells, sites differ, `cost` is not
        positive, or no detector is left.

    Example:
      >>> part, other = jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])
      >>> negative = jnp.broadcast_to(other, (8, 2, 2, 2))
      >>> positive = negative.at[:, 0, 1].set(part)
      >>> found = fit_discriminative_patches(
      ...     Features(positive, jnp.ones(2)), Features(negative, jnp.ones(2)),
      ...     num_patches=16, num_negatives=16, key=jax.random.key(0))
      >>> found.weights[0, 0, 0].argmax().tolist()
      0
      >>> features = Features(positive[:1], jnp.ones(2))
      >>> detect_patches(found, features).positions[:, 0].tolist()
      [[0.0, 1.0]]

    References:
      [singh2012unsupervised].

    Notes:
      A patch is what a network finds in it: the features of its cells, divided by their
      length, where the authors take histograms of gradients, 8 by 8 cells at several
      scales. The published cost of 0.1 is for these. Their length is estimated at 7;
      the same cost for features of length 1 is 0.1 times its square.

      All patches that were drawn of the negative images are learnt from at once,
      where the authors add the hard ones bit by bit. The hinge is squared. Each image
      gives one firing of a detector, so that no two of them overlap.

      A detector that fires in fewer than three images of the other half is left out,
      as in the authors' code. Firings are counted per patch of the images of either
      kind, whose numbers then don't matter.
    """
    counts = {
        "size": size,
        "num_patches": num_patches,
        "num_negatives": num_negatives,
        "num_rounds": num_rounds,
        "num_top": num_top,
    }
    for name, value in counts.items():
        check_count(name, value)
    if not _LEAST <= num_top <= _MOST:
        raise ValueError(
            f"`num_top`={num_top}; it must be from {_LEAST} to {_MOST}, as detectors "
            f"must fire so often, and are ranked by so many firings: `num_top=5`."
        )
    check_positive("cost", cost, 5.0)
    _check_features(positive, negative, size)
    keys = jax.random.split(key, 6)
    halves = _halves(positive, keys[0])
    others = _halves(negative, keys[1])
    patches = draw_patches(
        positive, halves[0], num_patches, "num_patches", size, keys[2]
    )
    against = [
        draw_patches(negative, half, num_negatives, "num_negatives", size, key)
        for half, key in zip(others, keys[3:5], strict=True)
    ]
    found = k_means(patches, num_clusters=max(num_patches // 4, 1), key=keys[5])
    index, counted = _members(found)

    def train(
        members: Float[Array, "v m e"], counted: Float[Array, "v m"], t: int
    ) -> _Trained:
        planes = _train(members, against[t % 2], counted, cost)
        unseen = halves[1 - t % 2]
        firings = fire(planes, positive, unseen, size)
        scores, chosen = jax.lax.top_k(firings.scores.T, min(_MOST, len(unseen)))
        cells = jnp.take_along_axis(firings.cells.T, chosen, axis=1)
        return _Trained(planes, firings.rate, scores, unseen[chosen], cells)

    trained = train(patches[index], counted, 0)
    lasting = trained.fires.sum(1) >= _LEAST
    for t in range(1, num_rounds):
        members = patches_at(positive, trained.images, trained.cells, size)
        first = jnp.arange(members.shape[1]) < num_top
        counted = (trained.fires & first[None]).astype(members.dtype)
        trained = train(members, counted, t)
        lasting &= trained.fires.sum(1) >= _LEAST
    if not lasting.any():
        raise ValueError(
            f"none of {len(lasting)} clusters of `num_patches`={num_patches} fires in "
            f"{_LEAST} images that it did not learn from; there must be more images or "
            f"patches: `num_patches={4 * num_patches}`."
        )
    planes, purity = trained.planes, trained.scores.mean(1)
    elsewhere = fire(planes, negative, others[num_rounds % 2], size).rate
    both = trained.rate + elsewhere
    share = jnp.where(both > 0, trained.rate / jnp.where(both > 0, both, 1), 0)
    order = np.argsort(-np.asarray(purity + share), kind="stable")
    order = order[np.asarray(lasting)[order]]
    channels = positive.step.size
    weights = planes.weights[order].reshape(-1, size, size, channels)
    return DiscriminativePatches(
        weights, planes.bias[order], purity[order], share[order]
    )


def detect_patches(patches: DiscriminativePatches, features: Features) -> Placement:
    """Where each detector fires highest.

    Args:
      patches: the detectors.
      features: of images, at the site that they were learnt at.

    Returns:
      One node per detector: the middle of its patch, in cells, the first one row by row
      where several have the highest score; and that score, which is also the peak.
      Above 0 the patch is more like the detector's own than like others; it may be
      below.

    Raises:
      ValueError: if the site has other channels, or is smaller than a patch.

    Example:
      >>> one = jnp.ones(1)
      >>> patches = DiscriminativePatches(one.reshape(1, 1, 1, 1), -one / 2, one, one)
      >>> features = Features(jnp.array([[[[0.0], [3.0]]]]), one)
      >>> found = detect_patches(patches, features)
      >>> found.positions.tolist(), found.scores.tolist()
      ([[[0.0, 1.0]]], [[0.5]])

    References:
      [singh2012unsupervised].
    """
    size, channels = patches.weights.shape[1], patches.weights.shape[-1]
    if features.step.size != channels:
        raise ValueError(
            f"`features` has {features.step.size} channels, but `patches` were learnt "
            f"from {channels}; both must be of the same site."
        )
    check_size(features, size)
    planes = Hyperplane(
        patches.weights.reshape(len(patches.biases), -1), patches.biases
    )
    images = jnp.arange(len(features.levels))
    firings = fire(planes, features, images, size)
    width = features.levels.shape[2] - size + 1
    cells = jnp.stack(jnp.divmod(firings.cells, width), axis=-1)
    positions = cells.astype(firings.scores.dtype) + (size - 1) / 2
    return Placement(positions, firings.scores, firings.scores)


class _Trained(NamedTuple):
    """Detectors, how often they fire, and their highest firings, one of an image."""

    planes: Hyperplane
    rate: Float[Array, " v"]
    scores: Float[Array, "v r"]
    images: Int[Array, "v r"]
    cells: Int[Array, "v r"]

    @property
    def fires(self) -> Bool[Array, "v r"]:
        """Which of the highest firings are firings at all."""
        return self.scores > FIRES


@jax.jit
def _train(
    members: Float[Array, "v m e"],
    against: Float[Array, "n e"],
    counted: Float[Array, "v m"],
    cost: float,
) -> Hyperplane:
    train = functools.partial(linear_svm, cost=cost)
    return jax.vmap(train, (0, None, 0))(members, against, counted)


def _members(found: Clusters) -> tuple[Int[np.ndarray, "v m"], Float[Array, "v m"]]:
    """The patches of each cluster, nearest to its center first, and how many count."""
    labels = np.asarray(found.labels)
    order = np.lexsort((np.asarray(found.squares), labels))
    sizes = np.bincount(labels, minlength=len(found.centers))
    starts = np.cumsum(sizes) - sizes
    kept = sizes >= _LEAST
    if not kept.any():
        raise ValueError(
            f"no cluster of `num_patches`={labels.size} has {_LEAST} patches; there "
            f"must be more: `num_patches={4 * labels.size}`."
        )
    ranks = np.arange(_MOST)[None]
    index = np.minimum(starts[kept, None] + ranks, labels.size - 1)
    counted = ranks < sizes[kept, None]
    return order[index], jnp.asarray(counted, found.centers.dtype)


def _halves(
    features: Features, key: PRNGKeyArray
) -> tuple[Int[Array, " i"], Int[Array, " i"]]:
    images = jax.random.permutation(key, len(features.levels))
    middle = len(images) // 2
    return images[:middle], images[middle:]


def _check_features(positive: Features, negative: Features, size: int) -> None:
    for name, features in (("positive", positive), ("negative", negative)):
        if len(features.levels) < 2 * _LEAST:
            raise ValueError(
                f"`{name}` has {len(features.levels)} images; either half must have "
                f"{_LEAST}, since a detector is left out that fires in fewer."
            )
    if positive.levels.shape[1:] != negative.levels.shape[1:]:
        raise ValueError(
            f"`positive` and `negative` have units {positive.levels.shape[1:]} and "
            f"{negative.levels.shape[1:]}; both must be of the same site and size of "
            "image."
        )
    check_size(positive, size)
