"""Mu-fidelity: do maps rank what removing some cells of a grid does?"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from xattr._checks import check_count
from xattr._compile import compiled
from xattr._scores import probability
from xattr._types import Images, Keys, Predictor, Score
from xattr.images import resize
from xattr.metrics._pixelwise import pixelwise
from xattr.metrics._similarity import spearman
from xattr.metrics._subsets import removals, settled
from xattr.paths._baselines import Baseline


@compiled
def mu_fidelity(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    num_samples: int = 200,
    grid: int = 9,
    subset: float = 0.2,
    baseline: Baseline = 0.0,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""How far the sum of a map over random cells ranks the drop of the score.

    With $S$ the pixels of random cells of a grid, each taken with probability
    `subset`, and $x_{-S}$ the image in which they are the baseline's:

    $$ \mu = \mathrm{corr}_S\Big(\sum_{u \in S} a_u,\; f(x) - f(x_{-S})\Big) $$

    Spearman's correlation over `num_samples` draws, equals sharing their mean rank.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per pixel, `n h w` or `n h w 1`, larger for more evidence.
      targets: what `score` selects; when None, the classes predicted on the images.
      num_samples: draws per image, at least 2; one evaluation each.
      grid: cells along each axis.
      subset: probability that a cell is removed.
      baseline: what replaces the cells, in the units of the images: a number, a color,
        or images that broadcast to `images`.
      score: scalar whose drop is compared.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image. Draw $s$ of an image depends on its key alone.

    Returns:
      Between -1 and 1 per image, the higher the better; not a number where all sums or
      all scores are the same. A constant map is above 0 where the score falls with the
      number of cells that are removed.

    Raises:
      TypeError: if `num_samples` or `grid` is no whole number.
      ValueError: if `num_samples` < 2, `grid` is not from 1 to the pixels of an axis,
        `subset` is not between 0 and 1, the maps do not fit the images, the baseline
        does not broadcast to them, or `key` is None.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [2.0]], [[4.0], [8.0]]]])
      >>> options = dict(grid=2, score=xattr.logit, key=jax.random.key(0))
      >>> mu_fidelity(model, x, x, **options).round(3)
      Array([1.], dtype=float32)

    References:
      [bhatt2020evaluating], definition 3; [fel2022xplique]; grid and ranks of
      [fel2021look].

    Notes:
      Bhatt et al. draw subsets of one size, of single pixels, and take Pearson's
      correlation: `faithfulness_correlation`. The rest is xplique's `MuFidelity` for
      images, which shares draws among images and counts 0 where the correlation is not
      defined. Its default score is the model's own output: for logits,
      `score=xattr.logit`.
    """
    check_count("num_samples", num_samples, 2)
    check_count("grid", grid)
    size = pixelwise(maps, images).shape[1:]
    if grid > min(size):
        raise ValueError(
            f"`grid`={grid}: images of {size[0]} by {size[1]} pixels have at most "
            f"{min(size)} cells along each axis: `grid={min(size)}`."
        )
    if not 0 < subset < 1:
        raise ValueError(
            f"`subset`={subset}; it must be a probability between 0 and 1: "
            f"`subset=0.2`."
        )
    found = removals(
        model,
        images,
        maps,
        targets,
        lambda keys, _: random_cells(keys, grid, subset, size),
        num=num_samples,
        baseline=baseline,
        score=score,
        chunk_size=chunk_size,
        key=key,
    )
    return spearman(settled(found.sums), settled(found.losses))


def random_cells(
    keys: Keys, grid: int, subset: float, size: tuple[int, ...]
) -> Bool[Array, "m h w"]:
    """The pixels whose centers lie in cells that are taken, one draw per key."""

    def one(key: Keys) -> Array:
        return jax.random.bernoulli(key, subset, (grid, grid))

    cells = jax.vmap(one)(keys).astype(jnp.float32)
    return resize(cells, (size[0], size[1]), method="nearest") > 0.5
