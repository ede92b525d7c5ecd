"""Sobol indices: the share of the score's variance that a feature has a part in."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from xattr._checks import check_count
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.perturbations._features import (
    Grid,
    Segments,
    evaluate_coalitions,
    features_of,
    spread,
)


@compiled
def sobol(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    grid: Grid = 8,
    segments: Segments | None = None,
    num_designs: int = 32,
    baseline: Baseline = 0.0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ... 1"]:
    r"""Share of the score's variance under random masks that involves the feature.

    With $z \in [0, 1]^M$ uniform, saying how far each feature is shown, and
    $g(z) = f(z \odot x + (1 - z) \odot b)$, the total-order index is

    $$ a_j = \frac{E[\operatorname{Var}(g(z) \mid z_{-j})]}{\operatorname{Var}(g(z))}
       \approx \frac{\tfrac{1}{2N} \sum_{s=1}^N \big(g(A_s) - g(A^j_s)\big)^2}
                    {\tfrac{1}{N - 1} \sum_{s=1}^N \big(g(A_s) - \bar g\big)^2} $$

    with $A_s$ and $B_s$ the halves of a Sobol sequence of dimension $2M$, and $A^j_s$
    the former with component $j$ of the latter.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images to explain, `n h w c`, or `n ... c` with any spatial axes.
      targets: what `score` selects; when None, the classes predicted on the images.
      grid: cells along each spatial axis, one number for all axes or one for each.
      segments: masks that take the place of the grid, from
        `xattr.images.superpixels(images)`. A pixel under several belongs to the first
        of them; one under none is never replaced.
      num_designs: $N$, best a power of two. Evaluations per image are $N (M + 1)$.
      baseline: what the pixels are mixed with, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      score: scalar being explained; `xattr.probability` gives the published figures.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image, that shift the sequence at random, so that its
        errors differ between images. When None, the sequence as it is.

    Returns:
      At each pixel the index of its feature: not negative, without units or direction.
      Where features act on their own the true indices sum to 1, where they act together
      to more. Pixels of no feature, and images whose score never varies, get 0.

    Raises:
      TypeError: if `segments` is no array of booleans, or a count no whole number.
      ValueError: if `num_designs` < 2, there are more cells than pixels or more than
        10600 features, the segments do not fit the images, or the baseline does not
        broadcast to them.

    Example:
      >>> import jax.numpy as jnp
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [3.0]]]])
      >>> (100 * sobol(model, x, grid=(1, 2), num_designs=1024)).ravel().round()
      Array([10., 90.], dtype=float32)

    References:
      [fel2021look], section 3; the estimator is that of [jansen1999analysis].

    Notes:
      A cell's pixels all get its index; the authors resize the grid of indices by cubic
      interpolation. As in their code, the sequence is not scrambled, and masks are
      enlarged without interpolation; its first point, the origin, is left out. With 32
      designs an index is off by a fifth or so.
    """
    check_count("num_designs", num_designs, least=2)
    features = features_of(images, grid, segments)
    n, m = images.shape[0], features.num
    points = _sequence(num_designs, 2 * m)

    def shown(shift: Array, index: Int[Array, " pairs"]) -> Float[Array, "pairs m"]:
        point = (points[index // (m + 1)] + shift) % 1
        swapped = (index % (m + 1))[:, None] == jnp.arange(m)[None]
        return jnp.where(swapped, point[:, m:], point[:, :m])

    scores, _ = evaluate_coalitions(
        model,
        images,
        targets,
        features,
        shown,
        _shifts(key, n, 2 * m),
        num=num_designs * (m + 1),
        baseline=baseline,
        score=score,
        chunk_size=chunk_size,
    )
    scores = scores.reshape(n, num_designs, m + 1)
    return spread(_total_order(scores), features, images)


def _sequence(num: int, dimension: int) -> Float[Array, "num dimension"]:
    """The Sobol sequence without its first point, a constant of the program."""
    from scipy.stats import qmc

    if dimension > qmc.Sobol.MAXDIM:
        raise ValueError(
            f"`grid` or `segments` make {dimension // 2} features; the Sobol sequence "
            f"has points for at most {qmc.Sobol.MAXDIM // 2}: `grid=8`, or fewer "
            f"segments."
        )
    points = qmc.Sobol(dimension, scramble=False).fast_forward(1).random(num)
    return jnp.asarray(points.astype(np.float32))


def _shifts(key: Keys | None, n: int, dimension: int) -> Float[Array, "n dimension"]:
    if key is None:
        return jnp.zeros((n, dimension), jnp.float32)
    draw = jax.vmap(lambda key: jax.random.uniform(key, (dimension,), jnp.float32))
    return draw(per_image(key, n))


def _total_order(scores: Float[Array, "n s m_plus_1"]) -> Float[Array, "n m"]:
    """Jansen's estimate; the last score of each design is that of no component."""
    own, others = scores[..., -1:], scores[..., :-1]
    variance = own.var(1, ddof=1)
    part = ((own - others) ** 2).mean(1) / 2
    return jnp.where(variance == 0, 0, part / jnp.where(variance == 0, 1, variance))
