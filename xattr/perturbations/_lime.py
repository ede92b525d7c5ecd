"""LIME: a linear model of the score in which features are shown."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from xattr._checks import check_count, check_positive
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import fold
from xattr._one_by_one import one_by_one
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.paths._baselines import Baseline
from xattr.perturbations._features import (
    Grid,
    Segments,
    evaluate_coalitions,
    features_of,
    mean_colors,
    spread,
)


@compiled
def lime(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    grid: Grid = 8,
    segments: Segments | None = None,
    num_samples: int = 1000,
    kernel_width: float = 0.25,
    alpha: float = 1.0,
    baseline: Baseline | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n ... 1"]:
    r"""Weight of the pixel's feature in a linear model of the score around the image.

    With $z_s \in \{0, 1\}^M$ saying which features are shown, at random but for $z_1$,
    which shows all, and $x_{z_s}$ the image with the others replaced:

    $$ \min_{a, b} \sum_{s=1}^S w_s \left(f(x_{z_s}) - b - a^\top z_s\right)^2
       + \alpha \|a\|^2, \qquad
       w_s = e^{-d_s^2 / (2 \sigma^2)}, \quad d_s = 1 - \sqrt{|z_s| / M} $$

    where $d_s$ is the cosine distance between $z_s$ and $z_1$.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images to explain, `n h w c`, or `n ... c` with any spatial axes.
      targets: what `score` selects; when None, the classes predicted on the images.
      grid: cells along each spatial axis, one number for all axes or one for each.
      segments: masks that take the place of the grid, from
        `xattr.images.superpixels(images)`. A pixel under several belongs to the first
        of them; one under none is never replaced.
      num_samples: $S$, evaluations per image.
      kernel_width: $\sigma$, how far from the image samples still count.
      alpha: strength of the ridge penalty, against the sum of the weights $w_s$.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`. When None, each feature's own mean
        color, as in the authors' code.
      score: scalar being explained; `xattr.probability` gives the published figures.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image.

    Returns:
      At each pixel the weight of its feature, not divided by the feature's area:
      positive where showing it raises the score. The penalty draws weights towards 0.
      Pixels of no feature get 0.

    Raises:
      TypeError: if `segments` is no array of booleans, or a count no whole number.
      ValueError: if `key` is None, `num_samples` < 1, `kernel_width` or `alpha` is not
        positive, there are more cells than pixels, the segments do not fit the images,
        or the baseline does not broadcast to them.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [5.0]]]])
      >>> lime(
      ...     model, x, grid=(1, 2), alpha=1e-3, baseline=0.0, key=jax.random.key(0)
      ... ).ravel().round(2)
      Array([1., 5.], dtype=float32)

    References:
      [ribeiro2016should], algorithm 1; the constants are those of the authors'
      explainer of images.

    Notes:
      The authors' code takes the root of the paper's kernel, and so does this. It fits
      all features, as the authors' explainer of images does unless told otherwise.
      Segments that are empty count in no distance. Captum's defaults are others: the
      cosine distance between the images themselves, a width of 1, a lasso with a
      penalty of 0.01, 25 samples, and no sample that is the image itself.
    """
    check_count("num_samples", num_samples)
    check_positive("kernel_width", kernel_width, 0.25)
    check_positive("alpha", alpha, 1.0)
    features = features_of(images, grid, segments)

    def shown(keys: Keys, index: Int[Array, " pairs"]) -> Bool[Array, "pairs m"]:
        on = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5, (features.num,)))(
            fold(keys, index)
        )
        return on | (index == 0)[:, None]

    scores, on = evaluate_coalitions(
        model,
        images,
        targets,
        features,
        shown,
        per_image(key, images.shape[0]),
        num=num_samples,
        baseline=mean_colors(images, features) if baseline is None else baseline,
        score=score,
        chunk_size=chunk_size,
    )
    present = jnp.ones((1, features.num), bool) if segments is None else _any(segments)
    share = (on & present[:, None]).sum(-1) / jnp.maximum(present.sum(-1), 1)[:, None]
    distance = 1 - jnp.sqrt(share.astype(scores.dtype))
    weights = jnp.exp(-(distance**2) / (2 * kernel_width**2))
    return spread(_ridge(on, scores, weights, alpha), features, images)


def _ridge(
    on: Bool[Array, "n s m"],
    scores: Float[Array, "n s"],
    weights: Float[Array, "n s"],
    alpha: float,
) -> Float[Array, "n m"]:
    """Coefficients of a weighted ridge regression, the intercept not penalized."""
    share = (weights / weights.sum(1, keepdims=True))[..., None]
    z = on.astype(scores.dtype)
    z, y = (v - (share * v).sum(1, keepdims=True) for v in (z, scores[..., None]))
    weighted = (weights[..., None] * z).swapaxes(1, 2)
    gram, right = (jnp.matmul(weighted, v, precision="highest") for v in (z, y))
    penalty = alpha * jnp.eye(z.shape[-1], dtype=z.dtype)[None]
    return one_by_one(jnp.linalg.solve, gram + penalty, right)[..., 0]


def _any(segments: Segments) -> Bool[Array, "n m"]:
    return segments.any(tuple(range(2, segments.ndim)))
