"""Faithfulness correlation: do maps say what removing some pixels does?"""

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_count
from xattr._compile import compiled
from xattr._scores import probability
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._pixelwise import pixelwise
from xattr.metrics._similarity import pearson
from xattr.metrics._subsets import random_pixels, removals, settled
from xattr.paths._baselines import Baseline


@compiled
def faithfulness_correlation(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    num_samples: int = 100,
    subset_size: int = 224,
    baseline: Baseline = 0.0,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""How far the sum of a map over random pixels tells the drop of the score.

    With $S$ a random subset of `subset_size` pixels and $x_{-S}$ the image in which
    they are the baseline's:

    $$ \mu = \mathrm{corr}_S\Big(\sum_{u \in S} a_u,\; f(x) - f(x_{-S})\Big) $$

    Pearson's correlation over `num_samples` subsets.

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per pixel, `n h w` or `n h w 1`, larger for more evidence.
      targets: what `score` selects; when None, the classes predicted on the images.
      num_samples: subsets per image, at least 2; one evaluation each.
      subset_size: pixels of a subset. The correlation falls where it is so small that
        the score does not move, and where it is nearly all of them.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      score: scalar whose drop is compared.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image. Subset $s$ of an image depends on its key alone.

    Returns:
      Between -1 and 1 per image, the higher the better; not a number where the map is
      constant or the score does not change.

    Raises:
      TypeError: if `num_samples` or `subset_size` is no whole number.
      ValueError: if `num_samples` < 2, `subset_size` is not from 1 to one less than
        there are pixels, the maps do not fit the images, the baseline does not
        broadcast to them, or `key` is None.

    Example:
      >>> import jax, jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [2.0], [3.0], [4.0]]]])
      >>> options = dict(subset_size=1, score=xattr.logit, key=jax.random.key(0))
      >>> faithfulness_correlation(model, x, x, **options).round(3)
      Array([1.], dtype=float32)

    References:
      [bhatt2020evaluating], definition 3; [hedstrom2023quantus].

    Notes:
      Quantus removes values rather than pixels, each channel on its own, and divides
      maps by their largest value first, which a correlation does not see. It draws
      from NumPy's global state; `num_samples` is its `nr_runs`. xplique's `MuFidelity`
      is `mu_fidelity`.
    """
    check_count("num_samples", num_samples, 2)
    _, height, width = pixelwise(maps, images).shape
    check_subset("subset_size", subset_size, height * width)
    found = removals(
        model,
        images,
        maps,
        targets,
        lambda keys, index: random_pixels(
            keys, jnp.full_like(index, subset_size), (height, width)
        ),
        num=num_samples,
        baseline=baseline,
        score=score,
        chunk_size=chunk_size,
        key=key,
    )
    return pearson(settled(found.sums), settled(found.losses))


def check_subset(name: str, size: int, pixels: int) -> None:
    """Refuse what is no size of a subset that is neither empty nor everything."""
    check_count(name, size)
    if size >= pixels:
        raise ValueError(
            f"`{name}`={size}, but the images have {pixels} pixels, so that there is "
            f"but one such subset, or none: `{name}={max(pixels // 5, 1)}`."
        )
