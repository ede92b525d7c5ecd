"""ROAD: what is left of the score when pixels are removed without a trace."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_not_negative, check_pictures
from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import fold
from xattr._scores import probability, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._imputation import impute
from xattr.metrics._pixelwise import pixelwise
from xattr.metrics._removal import only_where_ordered, ranks

Order = Literal["morf", "lerf", "combined"]


class Road(NamedTuple):
    """Scores of images whose most or least important pixels are imputed.

    Attributes:
      value: mean of the scores over the fractions.
      fractions: share of the pixels that is removed.
      scores: score of each image at each fraction, or half the difference of both
        orders.
    """

    value: Float[Array, " n"]
    fractions: Float[Array, " s"]
    scores: Float[Array, "n s"]


@compiled
def road(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    fractions: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    order: Order = "combined",
    noise: float = 0.01,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Road:
    r"""Score when a share of the pixels is removed and imputed from the others.

    With $x_{-q}$ the image without the share $q$ of its pixels, the most relevant
    (MoRF) or the least relevant (LeRF) ones, each replaced by the weighted mean of its
    neighbors, known or not, and a little noise:

    $$ \text{combined} = \operatorname{mean}_q
       \frac{f(x^\text{LeRF}_{-q}) - f(x^\text{MoRF}_{-q})}{2} $$

    Imputed pixels do not tell where pixels were removed, so that the model does not see
    the shape of the mask in the place of what it hides.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per pixel, `n h w` or `n h w 1`; the larger, the more evidence.
      targets: what `score` selects; when None, the classes predicted on the images.
      fractions: shares of the pixels that are removed, each rounded to whole pixels.
      order: `morf`, `lerf`, or `combined`, which evaluates both.
      noise: standard deviation of the noise on imputed pixels, in the units of the
        images; 0 for none.
      score: scalar that is watched.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image, for the noise; not needed where `noise=0`.

    Returns:
      `Road`, its value in units of the score. Smaller is better for `morf`, larger for
      `lerf`; `combined` is in [-0.5, 0.5] for a probability, 0 for an order that does
      not matter, larger is better. Not a number where the map holds one that is none.

    Raises:
      ValueError: if a fraction leaves all pixels or none, `order` is unknown, `noise`
        is negative, or `key` is None though there is noise, or the maps are not one
        number for each pixel of the images.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[4.0], [1.0]]]])
      >>> options = dict(fractions=(0.5,), noise=0.0, score=xattr.logit)
      >>> road(model, x, x, order="morf", **options).value
      Array([2.], dtype=float32)
      >>> road(model, x, x, order="lerf", **options).value
      Array([8.], dtype=float32)

    References:
      [rong2022consistent].

    Notes:
      The authors, and Quantus, report the share of images still classified as they
      were: `score=lambda z, t: (z.argmax(1) == t).astype(z.dtype)`. pytorch-grad-cam
      takes what `score` is here, minus that of the clean image, which `combined`
      doesn't see; its percentiles are of the pixels that stay for MoRF and LeRF alike:
      90 there is the fraction 0.1.

      All three solve the sparse system directly on the host. Here conjugate gradients
      with a multigrid cycle solve it on the device, to 1e-4 of the range of the image
      or better. LeRF is the reverse of MoRF; among equal values MoRF goes in reading
      order.
    """
    check_pictures(images)
    if order not in get_args(Order):
        raise ValueError(
            f"`order`={order!r}; it must be 'morf', 'lerf' or 'combined': "
            f"`order='combined'`."
        )
    check_not_negative("noise", noise, 0.01)
    flat = pixelwise(maps, images)
    pixels = flat.shape[1] * flat.shape[2]
    counts = jnp.array([_count(fraction, pixels) for fraction in fractions], jnp.int32)
    # Keys that nothing is drawn from stand for none.
    key = jax.random.key(0) if noise == 0 else key
    rows = (
        images,
        ranks(flat),
        resolve_targets(model, images, targets, chunk_size),
        per_image(key, images.shape[0]),
    )
    orders = ("morf", "lerf") if order == "combined" else (order,)
    reverse = jnp.array([order == "lerf" for order in orders])

    def evaluate(rows: PyTree, index: Array) -> Float[Array, " pairs"]:
        images, ranks, targets, keys = rows
        turned = reverse[index // len(counts)][:, None, None]
        count = counts[index % len(counts)][:, None, None]
        missing = jnp.where(turned, pixels - 1 - ranks, ranks) < count
        changed = impute(images, missing)
        if noise != 0:
            draws = _normal(fold(keys, index), images)
            changed += jnp.where(missing[..., None], noise * draws, 0)
        return score_and_targets(score, model(changed), targets)[0]

    num = len(orders) * len(counts)
    found = evaluate_all(evaluate, rows, num=num, chunk_size=chunk_size)
    scores = found.reshape(-1, len(orders), len(counts))
    scores = (scores[:, -1] - scores[:, 0]) / 2 if len(orders) == 2 else scores[:, 0]
    scores = only_where_ordered(scores, flat)
    return Road(scores.mean(1), (counts / pixels).astype(scores.dtype), scores)


def _count(fraction: float, pixels: int) -> int:
    count = round(fraction * pixels)
    if not 0 < count < pixels:
        raise ValueError(
            f"`fractions` holds {fraction}, which is {count} of {pixels} pixels; "
            f"at least one has to go and one to stay: `fractions=(0.1, 0.5, 0.9)`."
        )
    return count


def _normal(keys: Keys, images: Images) -> Images:
    """Noise of one image per key; half precision draws as single precision does."""
    wide = jnp.promote_types(images.dtype, jnp.float32)
    shape = images.shape[1:]
    draws = jax.vmap(lambda key: jax.random.normal(key, shape, wide))(keys)
    return draws.astype(images.dtype)
