"""Sensitivity-n: faithfulness correlation for subsets of several sizes."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from xattr._checks import check_count
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._faithfulness_correlation import check_subset
from xattr.metrics._pixelwise import pixelwise
from xattr.metrics._similarity import pearson
from xattr.metrics._subsets import random_pixels, removals, settled
from xattr.paths._baselines import Baseline


class SensitivityN(NamedTuple):
    """Correlation of maps with drops of the score, for each size of subset.

    Attributes:
      sizes: pixels of a subset.
      correlations: of each image at each size, between -1 and 1.
    """

    sizes: Int[Array, " s"]
    correlations: Float[Array, "n s"]


@compiled
def sensitivity_n(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    sizes: tuple[int, ...] | None = None,
    num_samples: int = 100,
    baseline: Baseline = 0.0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> SensitivityN:
    r"""How far a map tells the drop of the score, from single pixels to most of them.

    A map satisfies sensitivity-$n$ when, for every subset $S$ of $n$ pixels,
    $\sum_{u \in S} a_u = f(x) - f(x_{-S})$, with $x_{-S}$ the image in which the subset
    is the baseline's. Few do; how near one comes is, for each $n$, Pearson's

    $$ \rho_n = \mathrm{corr}_{|S| = n}\Big(\sum_{u \in S} a_u,\;
                f(x) - f(x_{-S})\Big) $$

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per pixel, `n h w` or `n h w 1`, larger for more evidence.
      targets: what `score` selects; when None, the classes predicted on the images.
      sizes: the $n$; when None, the powers of 2 up to four fifths of the pixels.
      num_samples: subsets of each size, at least 2; one evaluation each.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      score: scalar whose drop is compared; the paper's is the logit.
      chunk_size: changed images held in memory at once; chosen to fit when None.
      key: one key, or one per image. Subset $s$ of an image depends on its key alone.

    Returns:
      The sizes, and a correlation for each image and size, the higher the better; not
      a number where the map is constant or the score does not change.

    Raises:
      TypeError: if a size or `num_samples` is no whole number.
      ValueError: if there is no size, one is not from 1 to one less than there are
        pixels, `num_samples` < 2, the maps do not fit the images, the baseline does
        not broadcast to them, or `key` is None.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[1.0], [2.0], [3.0], [4.0]]]])
      >>> found = sensitivity_n(model, x, -x, sizes=(1, 3), key=jax.random.key(0))
      >>> found.correlations.round(3)
      Array([[-1., -1.]], dtype=float32)

    References:
      [ancona2018towards], section 4.

    Notes:
      The paper averages correlations over many images, which is
      `correlations.mean(0)`. The class of that name in Quantus measures something else:
      it removes pixels in the order of the map, more and more of them, and correlates
      over the images of a batch the score's drop since the clean image with the sum of
      the map over the last step's pixels alone.
    """
    check_count("num_samples", num_samples, 2)
    _, height, width = pixelwise(maps, images).shape
    chosen = _powers(height * width) if sizes is None else tuple(sizes)
    if not chosen:
        raise ValueError(
            "`sizes` is empty; give at least one number of pixels: `sizes=(1, 10)`."
        )
    for size in chosen:
        check_subset("sizes", size, height * width)
    each = jnp.array(chosen)
    found = removals(
        model,
        images,
        maps,
        targets,
        lambda keys, index: random_pixels(
            keys, each[index // num_samples], (height, width)
        ),
        num=len(chosen) * num_samples,
        baseline=baseline,
        score=score,
        chunk_size=chunk_size,
        key=key,
    )
    sums, losses = (settled(x.reshape(-1, num_samples)) for x in found)
    return SensitivityN(each, pearson(sums, losses).reshape(-1, len(chosen)))


def _powers(pixels: int) -> tuple[int, ...]:
    """Powers of 2 up to four fifths of the pixels."""
    return tuple(2**k for k in range(pixels.bit_length()) if 5 * 2**k <= 4 * pixels)
