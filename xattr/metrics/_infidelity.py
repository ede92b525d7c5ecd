"""Infidelity: by how much maps fail to say what perturbations do to the score."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_count, check_positive
from xattr._chunking import evaluate_all, sum_all
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import fold
from xattr._scores import probability, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._valuewise import valuewise
from xattr.paths._baselines import Baseline, one_baseline


class Perturbed(NamedTuple):
    """What one draw does to an image.

    Attributes:
      image: the image after it.
      weights: how much each value of a map counts in what is said of it.
    """

    image: Float[Array, "h w c"]
    weights: Float[Array, "h w #c"]


class _Options(NamedTuple):
    stddev: float
    side: int


def _gaussian(key: Keys, image: Array, fill: Array, options: _Options) -> Perturbed:
    change = options.stddev * jax.random.normal(key, image.shape, image.dtype)
    return Perturbed(image - change, change)


def _noisy_baseline(
    key: Keys, image: Array, fill: Array, options: _Options
) -> Perturbed:
    noise = options.stddev * jax.random.normal(key, image.shape, image.dtype)
    return Perturbed(fill + noise, image - fill - noise)


def _square(key: Keys, image: Array, fill: Array, options: _Options) -> Perturbed:
    height, width, _ = image.shape
    of_side, of_top, of_left = jax.random.split(key, 3)
    side = jax.random.randint(of_side, (), 1, options.side + 1)
    inside = []
    for of_start, size in ((of_top, height), (of_left, width)):
        start = jax.random.randint(of_start, (), 0, size - side + 1)
        place = jnp.arange(size)
        inside.append((place >= start) & (place < start + side))
    square = (inside[0][:, None] & inside[1][None, :])[..., None]
    return Perturbed(jnp.where(square, fill, image), square.astype(image.dtype))


_PERTURBATIONS: dict[str, Callable[[Keys, Array, Array, _Options], Perturbed]] = {
    "gaussian": _gaussian,
    "noisy_baseline": _noisy_baseline,
    "square": _square,
}


@compiled
def infidelity(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    perturbation: str = "square",
    num_samples: int = 1000,
    stddev: float = 0.2,
    side: int = 10,
    baseline: Baseline = 0.0,
    normalize: bool = False,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""Mean squared error of what a map says of perturbations of the image.

    With $I$ a random perturbation, $f(x) - f(x - I)$ what it takes from the score and
    $w$ what the map is to say it with:

    $$ \mathrm{INFD} = \mathbb{E}_I \big( w^\top a - (f(x) - f(x - I)) \big)^2 $$

    What maps mean decides which perturbation is theirs:

    - `square`, for contributions (integrated gradients, gradient times input,
      ablation): $x - I$ has a random square replaced by the baseline, and $w$ is 1
      inside of it.
    - `gaussian`, for derivatives: $I$ is noise of standard deviation `stddev`, and
      $w = I$.
    - `noisy_baseline`, for derivatives: $x - I$ is the baseline with such noise, and
      $w = I$.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per value, `n h w c`, or one per pixel, `n h w` or `n h w 1`. A
        number per pixel is the contribution of the whole pixel, and for noise the
        derivative by each of its channels.
      targets: what `score` selects; when None, the classes predicted on the images.
      perturbation: `square`, `gaussian` or `noisy_baseline`.
      num_samples: draws per image; one evaluation each.
      stddev: of the noise, in the units of the images.
      side: squares have sides of 1 up to as many pixels.
      baseline: what stands in a square, or below the noise, in the units of the images:
        a number, a color, or images that broadcast to `images`.
      normalize: first scale each map by the one number that makes the error least, so
        that maps of other units compare.
      score: scalar whose drop is compared.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image. Draw $s$ of an image depends on its key alone.

    Returns:
      In units of the squared score, one per image; 0 is best. Normalized maps are at
      most the mean squared drop, which a map of zeros has; theirs is not a number.

    Raises:
      TypeError: if `num_samples` or `side` is no whole number.
      ValueError: if `perturbation` is none of the above, `num_samples` < 1, `stddev` is
        not positive, `side` is not from 1 to the pixels of an axis, the maps do not fit
        the images, the baseline does not broadcast to them, or `key` is None.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [1.0]]]])
      >>> options = dict(side=1, score=xattr.logit, key=jax.random.key(0))
      >>> infidelity(model, x, x, **options), infidelity(model, x, 3 * x, **options)
      (Array([0.], dtype=float32), Array([4.], dtype=float32))

    References:
      [yeh2019fidelity], definition 2.1 and section 4.

    Notes:
      The authors' code always normalizes; it takes every square of sides 1 to 10
      rather than a sample, which favors small ones; and its noisy baseline is cut to
      [0, 1]. captum's function takes any perturbation from the caller, `gaussian` in
      its tutorials, and has the same `normalize`.
    """
    check_count("num_samples", num_samples)
    check_positive("stddev", stddev, 0.2)
    check_count("side", side)
    if perturbation not in _PERTURBATIONS:
        known = ", ".join(repr(name) for name in _PERTURBATIONS)
        raise ValueError(
            f"`perturbation`={perturbation!r} is none of {known}: "
            f"`perturbation='square'`."
        )
    maps = valuewise(maps, images)
    if perturbation == "square" and side > min(images.shape[1:3]):
        raise ValueError(
            f"`side`={side}: no such square fits into images of {images.shape[1]} by "
            f"{images.shape[2]} pixels: `side={min(images.shape[1:3])}`."
        )
    targets = resolve_targets(model, images, targets, chunk_size)
    perturb = _PERTURBATIONS[perturbation]

    def whole(rows: PyTree, _: Array) -> Array:
        images, targets = rows
        return score_and_targets(score, model(images), targets)[0]

    clean = evaluate_all(whole, (images, targets), chunk_size=chunk_size)[:, 0]
    rows = (
        images,
        one_baseline(images, baseline),
        maps,
        clean,
        targets,
        per_image(key, images.shape[0]),
    )

    def evaluate(rows: PyTree, index: Array) -> tuple[Array, Array, Array]:
        images, fill, maps, clean, targets, keys = rows
        changed, weights = jax.vmap(
            lambda key, image, fill: perturb(key, image, fill, _Options(stddev, side))
        )(fold(keys, index), images, fill)
        scores, _ = score_and_targets(score, model(changed), targets)
        said, lost = (weights * maps).sum((1, 2, 3)), clean - scores
        return said**2, said * lost, (said - lost) ** 2

    sums = sum_all(evaluate, rows, num=num_samples, chunk_size=chunk_size)
    said, both, error = (total / num_samples for total in sums)
    if not normalize:
        return error
    # With b = both / said: E(b s - l)^2 = E(s - l)^2 - (said - both)^2 / said.
    return jnp.maximum(error - (said - both) ** 2 / said, 0)
