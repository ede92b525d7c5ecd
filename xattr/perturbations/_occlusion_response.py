"""Occlusion watched from inside: a site's response with the window at each position."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit, predicted, score_and_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import Grid, site_and_outputs
from xattr.paths._baselines import Baseline, one_baseline
from xattr.perturbations._local_update import results_of_changes
from xattr.perturbations._occlude import positions
from xattr.perturbations._windows import Extent

Channel = Int[Array, " n"]


class OcclusionResponse(NamedTuple):
    """What a model does with a window at each position, each `n i j`.

    Attributes:
      response: how strongly the site responds.
      score: the score of the target.
      predicted: the most probable class.
    """

    response: Float[Array, "n i j"]
    score: Float[Array, "n i j"]
    predicted: Int[Array, "n i j"]


def _mean_of_maxima(activations: Grid, strongest: Channel) -> Float[Array, " n"]:
    del strongest
    return activations.max(axis=(1, 2)).mean(axis=1)


def _total(activations: Grid, strongest: Channel) -> Float[Array, " n"]:
    del strongest
    return activations.sum(axis=(1, 2, 3))


def _strongest_channel(activations: Grid, strongest: Channel) -> Float[Array, " n"]:
    totals = activations.sum(axis=(1, 2))
    return jnp.take_along_axis(totals, strongest[:, None], axis=1)[:, 0]


_REDUCTIONS: dict[str, Callable[[Grid, Channel], Float[Array, " n"]]] = {
    "mean_of_maxima": _mean_of_maxima,
    "total": _total,
    "strongest_channel": _strongest_channel,
}


@compiled
def occlusion_response(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    window: Extent = 32,
    stride: Extent = 16,
    baseline: Baseline = 0.0,
    reduce: str = "mean_of_maxima",
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> OcclusionResponse:
    r"""How a site, the score and the prediction react to a window at each position.

    With $A^d(x_p)$ the channels of a site on the image whose pixels under position $p$
    are the baseline's, by `reduce`:

    - `mean_of_maxima`: $\tfrac1D \sum_d \max_{ij} A^d_{ij}(x_p)$
    - `total`: $\sum_{dij} A^d_{ij}(x_p)$
    - `strongest_channel`: $\sum_{ij} A^{d^*}_{ij}(x_p)$ with $d^*$ the channel of
      largest sum on the clean image.

    Args:
      model: function from a batch of images to class logits.
      images: images to explain, `n h w c`.
      targets: what `score` selects; when None, the classes predicted on the images.
      site: exact name or module path of the activation that is watched.
      window: extent of the window in pixels, one for both axes or one for each.
      stride: pixels from one position to the next, likewise.
      baseline: what replaces the pixels, in the units of the images: a number, a
        color, or images that broadcast to `images`.
      reduce: one of the above.
      axes: which axis of the site is which, as a permutation of `nhwc`; read from the
        model when None.
      score: scalar being watched; `xattr.probability` gives the published figure.
      chunk_size: occluded images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      The three maps: position $k$ along an axis covers the pixels from $k$ times the
      stride on. Low responses and scores mark what they rest on.

    Raises:
      ValueError: if `reduce` is none of the above, the window is larger than the
        images, an extent is less than 1, the baseline does not broadcast to the
        images, the site is unknown, ambiguous or inside a loop, or its axes can't be
        read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> x = jnp.array([[[[1.0, 0.0], [2.0, 0.0], [0.0, 2.0]]]])
      >>> maps = occlusion_response(
      ...     model, x, site="relu:0", window=1, stride=1, axes="nhwc"
      ... )
      >>> maps.response
      Array([[[2. , 1.5, 1. ]]], dtype=float32)
      >>> maps.predicted
      Array([[[0, 1, 0]]], dtype=int32)

    References:
      [zeiler2014visualizing], figure 6: `strongest_channel` is its column b, `score`
      its column d, `predicted` its column e.
    """
    del key
    if reduce not in _REDUCTIONS:
        raise ValueError(
            f"`reduce`={reduce!r}; it must be one of {', '.join(_REDUCTIONS)}: "
            f"`reduce='mean_of_maxima'`."
        )
    where = positions(images, window, stride)

    def clean(rows, _):
        images, targets = rows
        activations, outputs = site_and_outputs(model, images, site, axes)
        targets = predicted(outputs) if targets is None else targets
        return activations.sum(axis=(1, 2)).argmax(axis=1), targets

    found = evaluate_all(clean, (images, targets), chunk_size=chunk_size)
    strongest, resolved = found[0][:, 0], found[1][:, 0] if targets is None else targets

    def evaluate(images, rows):
        strongest, targets = rows
        activations, outputs = site_and_outputs(model, images, site, axes)
        response = _REDUCTIONS[reduce](activations, strongest)
        scores, _ = score_and_targets(score, outputs, targets)
        response, scores = (x.astype(images.dtype) for x in (response, scores))
        return OcclusionResponse(response, scores, predicted(outputs))

    rows = (strongest, resolved)
    fill = one_baseline(images, baseline)
    maps = results_of_changes(evaluate, images, fill, rows, where.boxes, chunk_size)
    return OcclusionResponse(*(m.reshape(-1, *where.counts) for m in maps))
