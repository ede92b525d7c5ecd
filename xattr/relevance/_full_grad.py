"""FullGrad: the full gradients of all layers in one map."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Keys, Predictor, Score
from xattr.images import resize
from xattr.relevance._full_gradients import terms_and_sites


@compiled
def full_grad(
    model: Predictor,
    images: Float[Array, "n h w c"],
    targets: PyTree = None,
    *,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, "n h w 1"]:
    r"""How much the score rests on each pixel, and on the biases of units that see it.

    With the terms of `full_gradients`, $x \odot \nabla_x f$ of the image and
    $b_l \odot \partial f / \partial y_l$ of each site $l$ with a spatial grid:

    $$ a = \sum_c \psi(x \odot \nabla_x f)
       + \sum_l \sum_d \psi\Big(b_l \odot \frac{\partial f}{\partial y_l}\Big) $$

    where $\psi$ takes magnitudes, scales all of a term from its least to its greatest
    value to [0, 1], and enlarges it to the image bilinearly.

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map of one channel, never negative. Its scale says nothing: each term is scaled
      by itself. Terms of sites that have no grid, or whose axes can't be read, have no
      place in it; `full_gradients` has them all.

    Raises:
      TypeError: if `images` is no array or `model` no function of one.
      ValueError: if `images` is not `n h w c` of floating point, or `targets` has not
        one row per image.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> full_grad(model, jnp.array([[[[4.0], [-8.0], [2.0]]]])).ravel()
      Array([1. , 0. , 0.5], dtype=float32)

    References:
      [srinivas2019full].

    Notes:
      Which biases there are is said in `full_gradients`. Terms are enlarged with
      half-pixel centers, by the authors' code with aligned corners.
    """
    del key
    if images.ndim != 4:
        raise ValueError(
            f"`images` has shape {images.shape}; a map of pixels needs `n h w c`. For "
            f"other features use `xattr.full_gradients`, which has all terms."
        )

    def of_one(image: Any, target: PyTree) -> Array:
        terms, sites = terms_and_sites(model, image, target, score)
        grids: dict[tuple[int, ...], Array] = {}
        for name, site in sites.items():
            if sorted(site.axes) == _GRID:
                scaled = _scaled(terms[name])
                grids[scaled.shape] = grids.get(scaled.shape, 0) + scaled
        enlarged = [resize(grid[None], image.shape[:2])[0] for grid in grids.values()]
        return functools.reduce(jnp.add, enlarged)

    def evaluate(rows: Any, _: Array) -> Array:
        return jax.vmap(of_one)(*rows).astype(images.dtype)

    rows = (images, targets)
    return evaluate_all(evaluate, rows, chunk_size=chunk_size)[:, 0]


_GRID = sorted("nhwc")


def _scaled(term: Float[Array, "i j d"]) -> Float[Array, "i j 1"]:
    """Magnitudes from the least, 0, to the greatest, 1; summed over channels."""
    sizes = jnp.abs(term)
    low, extent = sizes.min(), sizes.max() - sizes.min()
    # The sum first: of all that follows there is then one value per cell.
    above = sizes.sum(-1, keepdims=True) - term.shape[-1] * low
    return jnp.where(extent > 0, above / jnp.where(extent > 0, extent, 1), 0)
