"""Shapley values of features, by drawing the orders in which they are added."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from xattr._checks import check_count
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import fold
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.perturbations._features import (
    Grid,
    Segments,
    evaluate_coalitions,
    features_of,
    spread,
    with_ends,
)


@compiled
def shapley_sampling(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    grid: Grid = 8,
    segments: Segments | None = None,
    num_permutations: int = 25,
    baseline: Baseline = 0.0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ... 1"]:
    r"""What the pixel's feature adds to the score, on average over orders of adding.

    With $\pi_s$ random orders of the features, $P_s(j)$ those that come before feature
    $j$ in order $s$, and $x_P$ the image where only the features of $P$ are shown and
    the others are the baseline's:

    $$ a_j = \frac1S \sum_{s=1}^S
             \left(f(x_{P_s(j) \cup j}) - f(x_{P_s(j)})\right) $$

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images to explain, `n h w c`, or `n ... c` with any spatial axes.
      targets: what `score` selects; when None, the classes predicted on the images.
      grid: cells along each spatial axis, one number for all axes or one for each.
      segments: masks that take the place of the grid, from
        `xattr.images.superpixels(images)`. A pixel under several belongs to the first
        of them; one under none is never replaced.
      num_permutations: $S$. Evaluations per image are this times the number of
        features; the standard error falls as $1/\sqrt S$.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      score: scalar being explained.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image.

    Returns:
      At each pixel the value of its feature, not divided by the feature's area. Over
      the features, the values sum to $f(x) - f(x_\emptyset)$ whatever $S$ is. Pixels of
      no feature get 0.

    Raises:
      TypeError: if `segments` is no array of booleans, or a count no whole number.
      ValueError: if `key` is None, `num_permutations` < 1, there are more cells than
        pixels, the segments do not fit the images, or the baseline does not broadcast
        to them.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: x.prod((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[2.0], [3.0]]]])
      >>> found = shapley_sampling(
      ...     model, x, grid=(1, 2), num_permutations=1000, key=jax.random.key(0)
      ... )
      >>> bool(jnp.allclose(found.ravel(), 3.0, atol=0.3)), found.sum().item()
      (True, 6.0)

    References:
      [castro2009polynomial], algorithm ApproShapley.

    Notes:
      The chains are not walked one after the other: all their images are evaluated in
      chunks. The two ends, which every order shares, are evaluated once.
    """
    check_count("num_permutations", num_permutations)
    features = features_of(images, grid, segments)
    steps = features.num - 1
    keys = per_image(key, images.shape[0])

    def shown(keys: Keys, index: Int[Array, " pairs"]) -> Array:
        order, step = index // max(steps, 1), index % max(steps, 1)
        return _ranks(fold(keys, order), features.num) <= step[:, None]

    num = num_permutations * steps
    scores, _ = evaluate_coalitions(
        model,
        images,
        targets,
        features,
        with_ends(shown, num),
        keys,
        num=num + 2,
        baseline=baseline,
        score=score,
        chunk_size=chunk_size,
    )
    gains = jnp.diff(_chains(scores, num_permutations, steps), axis=-1)
    ranks = jax.vmap(
        lambda s: _ranks(fold(keys, jnp.broadcast_to(s, keys.shape)), features.num),
        out_axes=1,
    )(jnp.arange(num_permutations))
    values = jnp.take_along_axis(gains, ranks, axis=-1).mean(1)
    return spread(values, features, images)


def _ranks(keys: Keys, num: int) -> Int[Array, "n m"]:
    """The place of each feature in a random order."""
    return jax.vmap(lambda key: jax.random.permutation(key, num))(keys)


def _chains(
    scores: Float[Array, "n num"], num_permutations: int, steps: int
) -> Float[Array, "n s m_plus_1"]:
    """Scores along each order, from no feature to all."""
    n = scores.shape[0]
    inner = scores[:, :-2].reshape(n, num_permutations, steps)
    low, high = (
        jnp.broadcast_to(end[:, None, None], (n, num_permutations, 1))
        for end in (scores[:, -2], scores[:, -1])
    )
    return jnp.concatenate([low, inner, high], axis=-1)
